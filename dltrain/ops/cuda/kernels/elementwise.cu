// What is done to each element, for a given number of arrays.

KERNEL maximum_dx(const float *dy, const int *winner, float *dx, int index, int count) {
    EACH(i, count) dx[i] = winner[i] == index ? dy[i] : 0.0f;
}

KERNEL add_into(const float *x, float *y, int count) {
    EACH(i, count) y[i] += x[i];
}

KERNEL fill(float *y, float value, int count) {
    EACH(i, count) y[i] = value;
}
