// What is done to each element, for a given number of arrays.

KERNEL maximum_dx(const real *dy, const int *winner, real *dx, int index, int count) {
    EACH(i, count) dx[i] = winner[i] == index ? (float)dy[i] : 0.0f;
}

KERNEL add_into(const real *x, real *y, int count) {
    EACH(i, count) y[i] += x[i];
}

KERNEL fill(real *y, float value, int count) {
    EACH(i, count) y[i] = value;
}
