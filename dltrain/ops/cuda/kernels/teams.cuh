// Teams: as many threads of a block, a power of two, as a line of numbers needs; all teams of a block meet at the same barriers.

INLINE int lane_of(int team) { return threadIdx.x & (team - 1); }

INLINE void meet(int team) {
    if (team > 32)
        __syncthreads();
    else
        __syncwarp();
}

// The sum, or the most, over a team; every thread gets it.  The order is fixed.
template <bool SUM> INLINE float together(float value, int team) {
    __shared__ float parts[1024];
    int me = threadIdx.x, lane = lane_of(team);
    if (team == 1) return value;
    parts[me] = value;
    for (int half = team / 2; half > 0; half /= 2) {
        meet(team);
        if (lane < half) parts[me] = SUM ? parts[me] + parts[me + half] : maximum(parts[me], parts[me + half]);
    }
    meet(team);
    float made = parts[me - lane];
    meet(team);
    return made;
}
