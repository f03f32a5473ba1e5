// What comes from the host: single words, and batches in logical order of whatever type, put where they belong.

KERNEL poke(float *to, u32 word, int count) {
    EACH(i, count) to[i] = __int_as_float((int)word);
}

// Words of the steps of a burst, each to its own place
KERNEL deal(const int *words, const u64 *places, int count) {
    EACH(i, count) *(int *)places[i] = words[i];
}

KERNEL arrange_float(const float *raw, real *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = raw[i];
}

KERNEL arrange_byte(const byte *raw, real *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = (float)raw[i];
}

// Bytes, and arithmetic on each: steps of (operation, where its numbers begin, elements of a sample to each number, numbers).
KERNEL work_out(const byte *raw, real *y, View of_y, const float *numbers, const int *steps, int many, int each, int count) {
    EACH(i, count) {
        float v = (float)raw[i];
        for (int s = 0; s < many; s++) {
            const int *step = steps + 4 * s;
            float by = numbers[step[1] + i % each / step[2] % step[3]];
            v = step[0] == 0 ? v - by : step[0] == 1 ? __fmul_rn(v, by) : v / by;
        }
        y[place(of_y, i)] = v;
    }
}

KERNEL arrange_int(const int *raw, int *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = raw[i];
}

// y[n] = table[rows[n]], rows of `size` elements in logical order
KERNEL pick_float(const real *table, const int *rows, real *y, View of_y, int size, int count) {
    EACH(i, count) y[place(of_y, i)] = table[(size_t)rows[i / size] * size + i % size];
}

KERNEL pick_int(const int *table, const int *rows, int *y, View of_y, int size, int count) {
    EACH(i, count) y[place(of_y, i)] = table[(size_t)rows[i / size] * size + i % size];
}
