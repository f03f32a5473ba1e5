// The text of a CUDA kernel as plain C++: blocks one after another; a block whose threads meet at barriers runs them as fibers.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __shared__ static __attribute__((section("shared_memory")))
#define __constant__ static const
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shared_memory[], __stop_shared_memory[]; // the linker's names

namespace emulator {
const int MOST = 1024, STACK = 128 << 10;
static ucontext_t home, fiber[MOST];
static char *stacks = nullptr;
static bool done[MOST];
static int now, living, arrived, generation, moved, site;
static bool backwards; // the last thread and the last block first: what depends on the order shows

static void wait(int line) {
    int mine = generation;
    moved = 1;
    if (arrived && line != site) {
        fprintf(stderr, "threads of a block are at the barriers of lines %d and %d\n", site, line);
        abort();
    }
    site = line;
    if (++arrived == living) {
        arrived = 0;
        generation++;
        return;
    }
    while (generation == mine) swapcontext(&fiber[now], &home);
}

static dim3 index(int thread) {
    unsigned t = thread;
    return {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

template <class Body> static void grid(const unsigned *shape, bool meets, Body body);
static void (*current)(void *);
static void *argument;

static void enter() {
    current(argument);
    done[now] = true;
    living--;
    moved = 1;
    if (living && arrived == living) {
        arrived = 0;
        generation++;
    }
    swapcontext(&fiber[now], &home);
}

static void meet(int threads) {
    if (!stacks) stacks = (char *)malloc((size_t)MOST * STACK);
    living = threads;
    arrived = 0;
    if (__start_shared_memory) memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory); // all NaN
    for (int t = 0; t < threads; t++) {
        done[t] = false;
        getcontext(&fiber[t]);
        fiber[t].uc_stack.ss_sp = stacks + (size_t)t * STACK;
        fiber[t].uc_stack.ss_size = STACK;
        fiber[t].uc_link = nullptr;
        makecontext(&fiber[t], enter, 0);
    }
    while (living) {
        moved = 0;
        for (int turn = 0; turn < threads; turn++) {
            int t = backwards ? threads - 1 - turn : turn;
            if (done[t]) continue;
            now = t;
            threadIdx = index(t);
            int before = generation;
            swapcontext(&home, &fiber[t]);
            if (generation != before) moved = 1;
        }
        if (!moved) {
            fprintf(stderr, "a barrier that not all threads reach\n");
            abort();
        }
    }
}

template <class... A, size_t... I> static void call(void (*kernel)(A...), void **given, std::index_sequence<I...>) {
    kernel(*(std::remove_const_t<std::remove_reference_t<A>> *)given[I]...);
}

template <class... A> struct Bound {
    void (*kernel)(A...);
    void **given;
    static void run(void *self) { call(((Bound *)self)->kernel, ((Bound *)self)->given, std::index_sequence_for<A...>()); }
};

template <class... A> static void run(void (*kernel)(A...), const unsigned *shape, void **given, bool meets) {
    Bound<A...> bound{kernel, given};
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], shape[4], shape[5]};
    int threads = shape[3] * shape[4] * shape[5];
    backwards = shape[6];
    for (unsigned z = 0; z < shape[2]; z++)
        for (unsigned y = 0; y < shape[1]; y++)
            for (unsigned x = 0; x < shape[0]; x++) {
                blockIdx = {x, y, z};
                if (backwards) blockIdx = {shape[0] - 1 - x, shape[1] - 1 - y, shape[2] - 1 - z};
                if (meets) {
                    current = Bound<A...>::run;
                    argument = &bound;
                    meet(threads);
                } else
                    for (int t = 0; t < threads; t++) {
                        threadIdx = index(backwards ? threads - 1 - t : t);
                        Bound<A...>::run(&bound);
                    }
            }
}
} // namespace emulator

static inline void barrier(int line) {
    emulator::wait(line);
    threadIdx = emulator::index(emulator::now);
}
#define __syncthreads() barrier(__LINE__)
#define __syncwarp() barrier(__LINE__)
#define __threadfence()
static inline float __fmul_rn(float a, float b) { return a * b; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
static inline int atomicAdd(int *p, int by) { return (*p += by) - by; }
static inline float __ldg(const float *p) { return *p; }
static inline int __float_as_int(float x) {
    int y;
    memcpy(&y, &x, 4);
    return y;
}
static inline float __int_as_float(int x) {
    float y;
    memcpy(&y, &x, 4);
    return y;
}
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define FOR_LAUNCH(name, meets) \
    extern "C" void launch_##name(const unsigned *shape, void **given) { emulator::run(name, shape, given, meets); }
