// Channels of a thread: one, or four neighbours where the recipe says so; these are innermost and on borders of four.

#ifndef BESIDE
#define BESIDE 1
#endif

// The first of a thread's channels.
INLINE int channel() { return BESIDE * (blockIdx.x * blockDim.x + threadIdx.x); }

template <class T> INLINE void take(float *to, const T *from) {
    if (BESIDE == 4) take4(to, from);
    else to[0] = from[0];
}

template <class T> INLINE void give(T *to, const float *from) {
    if (BESIDE == 4) give4(to, from);
    else to[0] = from[0];
}
