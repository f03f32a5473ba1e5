// Recurrent nets: what is done to all steps of a part at once.  A part goes through its steps forwards or, `turned`, backwards.

// Where the steps begin and end: y (steps, samples) from cont, or from a mask.  Going backwards the border is crossed after the
// step that starts a sequence, and nothing comes before the first.
template <class T> INLINE void marks(const T *x, float *y, int x_step, int x_row, int turned, int mask, int steps, int samples,
                                     int count) {
    EACH(i, count) {
        int step = i / samples, time = turned ? steps - step - mask : step;
        float value = time < steps ? (float)x[time * x_step + (i - step * samples) * x_row] : 1.0f;
        y[i] = mask ? (value != 0.0f ? 1.0f : 0.0f) : value;
    }
}

KERNEL marks_of_floats(const float *x, float *y, int x_step, int x_row, int turned, int mask, int steps, int samples, int count) {
    marks(x, y, x_step, x_row, turned, mask, steps, samples, count);
}

KERNEL marks_of_integers(const int *x, float *y, int x_step, int x_row, int turned, int mask, int steps, int samples, int count) {
    marks(x, y, x_step, x_row, turned, mask, steps, samples, count);
}

// y at the time of each step = marks x;   x lies step by step, x_row from sample to sample
KERNEL marked(const float *x, const float *marks, float *y, int x_row, int y_step, int y_row, int turned, int steps, int samples,
              int units, int count) {
    EACH(i, count) {
        int row = i / units, j = i - row * units, step = row / samples, time = turned ? steps - 1 - step : step;
        float value = x[(size_t)row * x_row + j];
        y[(size_t)time * y_step + (size_t)(row - step * samples) * y_row + j] = marks ? marks[row] * value : value;
    }
}

// z becomes tanh z, and y at the time of each step that times live
KERNEL squash(float *z, const float *live, real *y, int y_step, int y_row, int turned, int steps, int samples, int units,
              int count) {
    EACH(i, count) {
        int row = i / units, j = i - row * units, step = row / samples, time = turned ? steps - 1 - step : step;
        float made = tanhf(z[i]);
        z[i] = made;
        y[(size_t)time * y_step + (size_t)(row - step * samples) * y_row + j] = live ? live[row] * made : made;
    }
}

// dz = live dy (1 - z z), step by step
KERNEL squash_back(const float *z, const float *live, const real *dy, float *dz, int dy_step, int dy_row, int turned, int steps,
                   int samples, int units, int count) {
    EACH(i, count) {
        int row = i / units, j = i - row * units, step = row / samples, time = turned ? steps - 1 - step : step;
        float back = dy[(size_t)time * dy_step + (size_t)(row - step * samples) * dy_row + j];
        dz[i] = (live ? live[row] * back : back) * (1.0f - z[i] * z[i]);
    }
}

// dh *= keep, a number a sample
KERNEL keep(float *dh, const float *keep, int units, int count) {
    EACH(i, count) dh[i] *= keep[i / units];
}

// a += x at every step
KERNEL at_every_step(const float *x, float *a, int size, int count) {
    EACH(i, count) a[i] += x[i % size];
}

// y = the sum of all steps of x
KERNEL over_steps(const float *x, float *y, int steps, int count) {
    EACH(i, count) {
        float sum = 0.0f;
        for (int step = 0; step < steps; step++) sum += x[(size_t)step * count + i];
        y[i] = sum;
    }
}

// dw[gate] += the sum over steps and samples of da[gate] times what the gate saw: keep c before (i, f), or c after the step (o).
// 32 units of one gate a block, 8 threads down each.
BLOCK_KERNEL peepholes(const float *da, const float *cs, const float *keep, float *dw, int turned, int steps, int samples,
                       int units) {
    __shared__ float parts[8][32];
    int unit = blockIdx.x * 32 + threadIdx.x, gate = blockIdx.y, rows = steps * samples;
    float sum = 0.0f;
    if (unit < units)
        for (int row = threadIdx.y; row < rows; row += 8) {
            int step = row / samples, at = turned ? (steps - 1 - step) * samples + row - step * samples : row;
            float c = cs[((size_t)row + (gate == 2 ? samples : 0)) * units + unit];
            sum += da[((size_t)at * 4 + gate) * units + unit] * (keep && gate < 2 ? keep[row] * c : c);
        }
    parts[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || unit >= units) return;
    for (int part = 1; part < 8; part++) sum += parts[part][threadIdx.x];
    dw[gate * units + unit] += sum;
}
