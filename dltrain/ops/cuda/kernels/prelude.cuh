// What every kernel may use: loops over elements, views of any layout, sums over a block, random words.
// A KERNEL's threads work apart; the threads of a BLOCK_KERNEL meet at barriers.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char byte;

// An array that `real` declares may be of short numbers, two bytes each: read as float, written rounded to the nearest (ties to
// even).  Which it is of, the launch decides; pointers made from it are `auto`, and what is computed is float.
typedef float real;

#define KERNEL extern "C" __global__ void
#define BLOCK_KERNEL extern "C" __global__ void
#define INLINE static __device__ __forceinline__
#define LARGEST 3.402823466e+38f
#define LEAST 1.175494351e-38f
#define INSIDE __device__ __forceinline__
#ifndef INFINITY // NVRTC has no math.h
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#endif

struct bf16 {
    unsigned short bits;
    INSIDE operator float() const { return __int_as_float((int)((u32)bits << 16)); }
    INSIDE bf16 &operator=(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
        u32 word = (u32)__float_as_int(x);
        bits = x != x ? 0x7fff : (unsigned short)((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
#endif
        return *this;
    }
    INSIDE bf16 &operator+=(float x) { return *this = *this + x; }
};

struct fp16 {
    unsigned short bits;
#ifdef __CUDA_ARCH__
    INSIDE operator float() const {
        float x;
        asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
        return x;
    }
    INSIDE fp16 &operator=(float x) {
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
        return *this;
    }
#else
    operator float() const { return (float)__builtin_bit_cast(_Float16, bits); }
    fp16 &operator=(float x) {
        bits = __builtin_bit_cast(unsigned short, (_Float16)x);
        return *this;
    }
#endif
    INSIDE fp16 &operator+=(float x) { return *this = *this + x; }
};

// Four neighbours at once; their memory begins on a border of four.
struct alignas(8) Words4 {
    unsigned short bits[4];
};

INLINE void take4(float *to, const float *from) {
    float4 four = *(const float4 *)from;
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

template <class T> INLINE void take4(float *to, const T *from) {
    Words4 four = *(const Words4 *)from;
    for (int i = 0; i < 4; i++) to[i] = T{four.bits[i]};
}

INLINE void give4(float *to, const float *from) { *(float4 *)to = float4{from[0], from[1], from[2], from[3]}; }

template <class T> INLINE void give4(T *to, const float *from) {
    Words4 four;
    for (int i = 0; i < 4; i++) {
        T made;
        made = from[i];
        four.bits[i] = made.bits;
    }
    *(Words4 *)to = four;
}

INLINE int first() { return blockIdx.x * blockDim.x + threadIdx.x; }
INLINE int stride() { return gridDim.x * blockDim.x; }
#define EACH(i, count) for (int i = first(); i < (count); i += stride())

// A logical array in memory of any order: element number i, counted in logical order, lies at place(view, i).
struct View {
    int rank;
    int size[8];
    int step[8];
};

INLINE int place(const View &view, int i) {
    int at = 0;
    #pragma unroll // so that no thread keeps a copy of the view
    for (int axis = 7; axis > 0; axis--) {
        if (axis >= view.rank) continue;
        int rest = i / view.size[axis];
        at += (i - rest * view.size[axis]) * view.step[axis];
        i = rest;
    }
    return view.rank > 0 ? at + i * view.step[0] : 0;
}

// As NumPy has them: what is not a number stays so.
INLINE float minimum(float a, float b) { return a < b || a != a ? a : b; }
INLINE float maximum(float a, float b) { return a > b || a != a ? a : b; }
INLINE int lesser(int a, int b) { return a < b ? a : b; }
INLINE int greater(int a, int b) { return a > b ? a : b; }

// The sum, or the most, over the threads of a block (a power of two, 1024 at most); every thread gets it.  The order is fixed.
template <class T> INLINE T block_sum(T value) {
    __shared__ T parts[1024];
    int me = threadIdx.x;
    parts[me] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (me < half) parts[me] += parts[me + half];
    }
    __syncthreads();
    T total = parts[0];
    __syncthreads();
    return total;
}

// True for the threads of the last of `blocks` blocks to get here, which then sees what all have written: read it by `fresh`.
// The ticket is 0 before and behind the launch.
INLINE bool last_block(int *ticket, int blocks) {
    __shared__ int taken;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        taken = atomicAdd(ticket, 1);
        if (taken == blocks - 1) *ticket = 0;
    }
    __syncthreads();
    bool last = taken == blocks - 1;
    __syncthreads();
    if (last) __threadfence();
    return last;
}

template <class T> INLINE T fresh(const T *p) { return __ldcg(p); }

INLINE float block_max(float value) {
    __shared__ float parts[1024];
    int me = threadIdx.x;
    parts[me] = value;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (me < half) parts[me] = maximum(parts[me], parts[me + half]);
    }
    __syncthreads();
    float most = parts[0];
    __syncthreads();
    return most;
}

// Philox4x32-10 (Salmon et al., SC 2011): the four words of a block of the stream (key, count).
struct Words {
    u32 word[4];
};

INLINE Words philox_block(u32 k0, u32 k1, u64 count, u64 block) {
    u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = (u32)count, c3 = (u32)(count >> 32);
    for (int round = 0; round < 10; round++) {
        u64 p0 = (u64)c0 * 0xD2511F53u, p1 = (u64)c2 * 0xCD9E8D57u;
        c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
        c1 = (u32)p1;
        c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c3 = (u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

INLINE u32 philox(u32 k0, u32 k1, u64 count, u64 index) { return philox_block(k0, k1, count, index / 4).word[index & 3]; }

// A number in [0, 1), 53 bits: element `index` of the stream, from words 2 index and 2 index + 1.
INLINE double uniform(u32 k0, u32 k1, u64 count, u64 index) {
    Words words = philox_block(k0, k1, count, index / 2);
    u32 a = words.word[2 * (index & 1)] >> 5, b = words.word[2 * (index & 1) + 1] >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}
