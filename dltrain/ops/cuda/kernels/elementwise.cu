// What is done to each element, for a given number of arrays.

KERNEL maximum_dx(const real *dy, const int *winner, real *dx, int index, int count) {
    EACH(i, count) dx[i] = winner[i] == index ? (float)dy[i] : 0.0f;
}

KERNEL add_into(const real *x, real *y, int count) {
    EACH(i, count) y[i] += x[i];
}

KERNEL cast(const real *x, real *y, int count) {
    EACH(i, count) y[i] = (float)x[i];
}

// Four at a time: `count` is that of the fours.
KERNEL cast_fours(const real *x, real *y, int count) {
    EACH(q, count) {
        float four[4];
        take4(four, x + (size_t)4 * q);
        give4(y + (size_t)4 * q, four);
    }
}

KERNEL add_fours(const real *x, real *y, int count) {
    EACH(q, count) {
        float one[4], two[4];
        take4(one, x + (size_t)4 * q);
        take4(two, y + (size_t)4 * q);
        for (int i = 0; i < 4; i++) two[i] += one[i];
        give4(y + (size_t)4 * q, two);
    }
}

KERNEL fill(real *y, float value, int count) {
    EACH(i, count) y[i] = value;
}
