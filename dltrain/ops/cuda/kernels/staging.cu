// What comes from the host: single words, and batches in logical order of whatever type, put where they belong.

KERNEL poke(float *to, u32 word, int count) {
    EACH(i, count) to[i] = __int_as_float((int)word);
}

KERNEL arrange_float(const float *raw, float *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = raw[i];
}

KERNEL arrange_byte(const byte *raw, float *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = (float)raw[i];
}

KERNEL arrange_int(const int *raw, int *y, View of_y, int count) {
    EACH(i, count) y[place(of_y, i)] = raw[i];
}

// y[n] = table[rows[n]], rows of `size` elements in logical order
KERNEL pick_float(const float *table, const int *rows, float *y, View of_y, int size, int count) {
    EACH(i, count) y[place(of_y, i)] = table[(size_t)rows[i / size] * size + i % size];
}

KERNEL pick_int(const int *table, const int *rows, int *y, View of_y, int size, int count) {
    EACH(i, count) y[place(of_y, i)] = table[(size_t)rows[i / size] * size + i % size];
}

// A row of the ring: the losses of a step, then 1 where it has failed.  `at` counts the steps.
KERNEL keep_loss(const float *loss, float *ring, const int *at, int rows, int width, int column) {
    ring[(at[0] % rows) * width + column] = loss[0];
}

KERNEL keep_failed(const int *failed, float *ring, int *at, int rows, int width) {
    ring[(at[0] % rows) * width + width - 1] = (float)failed[0];
    at[0] += 1;
}
