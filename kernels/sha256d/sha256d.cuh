// SHA-256d over Bitcoin headers: which nonces of a range give a double hash whose last word H7
// meets a share mask. Source: FIPS 180-4; Bitcoin's header layout. One instruction stream serves
// real difficulty and dense shares alike, because the mask is a run-time argument. Compiles as
// CUDA C++ (NVRTC, nvcc), and as plain C++ where the includer supplies the CUDA names.
//
// PIPES chooses the arithmetic, MIDSTATES how many sibling headers share one schedule.

#ifndef PIPES
#define PIPES Plain
#define MIDSTATES 1
#endif

typedef unsigned int u32;

__device__ static constexpr u32 SHA256_IV[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

__device__ static constexpr u32 SHA256_K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// What the host works out once per header. The nonce's word W3 is only ever added, first to a and e
// after round 3, so whatever it has not reached is a constant of the launch.
struct Header {
    u32 midstate[8];  // the chaining value after the first 64 bytes
    u32 state[8];     // a ... h after rounds 0-3 of the second block had the nonce been 0
    u32 early[3];     // h + K + W of rounds 4, 5, 6
    u32 a, e;         // the second hash's a and e after its round 0, less the first hash's a
};

// Sibling headers differ in their version alone: they share the second block's schedule.
struct Work {
    Header headers[MIDSTATES];
    u32 w16, w17;            // the two schedule words that the nonce does not reach,
    u32 k16, k17;            // the same with their round constants,
    u32 w18, w19, w31, w32;  // and what it does not reach of these four
};

// Known at run time alone, so that the compiler cannot turn these multiplications back into adds
// and shifts: 1, and the powers of two that shift right by 3 and 10 and rotate right by 2.
struct Factors {
    u32 one, shift3, shift10, rotate2;
};

// ---- Plain reference: the functions of FIPS 180-4 ----------------------------------------------

__device__ __forceinline__ u32 rotr(u32 x, int n) { return (x >> n) | (x << (32 - n)); }
__device__ __forceinline__ u32 swap(u32 x) { return __byte_perm(x, 0, 0x0123); }
__device__ __forceinline__ u32 ch(u32 e, u32 f, u32 g) { return (e & f) ^ (~e & g); }
__device__ __forceinline__ u32 maj(u32 a, u32 b, u32 c) { return (a & b) ^ (a & c) ^ (b & c); }
__device__ __forceinline__ u32 big1(u32 x) { return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25); }
__host__ __device__ constexpr u32 fixed0(u32 x)
{
    return (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3;
}
__host__ __device__ constexpr u32 fixed1(u32 x)
{
    return (x >> 17 | x << 15) ^ (x >> 19 | x << 13) ^ x >> 10;
}

// ---- Arithmetic by pipe -------------------------------------------------------------------------

// a * b + c on the FMA pipe. Inline PTX, because the compiler would reassociate the C++.
__device__ __forceinline__ u32 multiply_add(u32 a, u32 b, u32 c)
{
#ifdef __CUDA_ARCH__
    u32 sum;
    asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
#else
    return a * b + c;
#endif
}

// Both halves of a * b on the FMA pipe, added there: x rotated, when b is a power of two.
__device__ __forceinline__ u32 multiply_fold(u32 a, u32 b, u32 one)
{
#ifdef __CUDA_ARCH__
    unsigned long long product;
    asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(a), "r"(b));
#else
    const unsigned long long product = (unsigned long long)a * b;
#endif
    return multiply_add((u32)product, one, (u32)(product >> 32));
}

// Adds of three terms on the ALU, where they are one instruction; a lone add of two on the FMA pipe.
struct Plain {
    Factors by;
    __device__ __forceinline__ u32 add(u32 a, u32 b) const { return a + b; }
    __device__ __forceinline__ u32 lone(u32 a, u32 b) const { return multiply_add(a, by.one, b); }
    __device__ __forceinline__ u32 shift3(u32 x) const { return x >> 3; }
    __device__ __forceinline__ u32 shift10(u32 x) const { return x >> 10; }
    __device__ __forceinline__ u32 rotate2(u32 x, int) const { return rotr(x, 2); }
};

// Every add and the schedule's shifts on the FMA pipe, and the rotations by 2 in rounds below MOVED.
template <int MOVED>
struct Balanced {
    Factors by;
    __device__ __forceinline__ u32 add(u32 a, u32 b) const { return multiply_add(a, by.one, b); }
    __device__ __forceinline__ u32 lone(u32 a, u32 b) const { return add(a, b); }
    __device__ __forceinline__ u32 shift3(u32 x) const { return __umulhi(x, by.shift3); }
    __device__ __forceinline__ u32 shift10(u32 x) const { return __umulhi(x, by.shift10); }
    __device__ __forceinline__ u32 rotate2(u32 x, int round) const
    {
        return round < MOVED ? multiply_fold(x, by.rotate2, by.one) : rotr(x, 2);
    }
};

template <class Pipes>
__device__ __forceinline__ u32 small0(const Pipes& on, u32 x)
{
    return rotr(x, 7) ^ rotr(x, 18) ^ on.shift3(x);
}

template <class Pipes>
__device__ __forceinline__ u32 small1(const Pipes& on, u32 x)
{
    return rotr(x, 17) ^ rotr(x, 19) ^ on.shift10(x);
}

// ---- Rounds and schedule ------------------------------------------------------------------------

// One round on a ... h; x is h + K[t] + W[t]. The sum t1 of four terms leaves one add alone when x
// came as one or two.
template <class Pipes>
__device__ __forceinline__ void one_round(const Pipes& on, u32 s[8], u32 x, int t, bool whole)
{
    const u32 chosen = on.add(x, ch(s[4], s[5], s[6]));
    const u32 t1 = whole ? on.add(chosen, big1(s[4])) : on.lone(chosen, big1(s[4]));
    const u32 big0 = on.rotate2(s[0], t) ^ rotr(s[0], 13) ^ rotr(s[0], 22);
    const u32 a = on.add(on.add(t1, maj(s[0], s[1], s[2])), big0);
    s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = on.lone(t1, s[3]);
    s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = a;
}

// W[t] in general, into the ring in which slot t % 16 holds it.
template <class Pipes>
__device__ __forceinline__ void expand(const Pipes& on, u32 w[16], int t)
{
    const u32 sum = on.add(on.add(w[t & 15], w[(t - 7) & 15]), small0(on, w[(t - 15) & 15]));
    w[t & 15] = on.lone(sum, small1(on, w[(t - 2) & 15]));
}

// W[t], t >= 18, of the block that holds the nonce: words 4 to 15 are 2^31, ten zeros and 640.
template <class Pipes>
__device__ __forceinline__ void expand_header(const Pipes& on, u32 w[16], int t, const Work& work)
{
    const u32 seven = w[(t - 7) & 15], two = small1(on, w[(t - 2) & 15]);
    u32& to = w[t & 15];
    if (t == 18) to = on.lone(small0(on, w[3]), work.w18);
    else if (t == 19) to = on.lone(w[3], work.w19);
    else if (t == 20) to = on.lone(two, 0x80000000);
    else if (t == 21) to = two;
    else if (t == 22) to = on.lone(two, 640);
    else if (t < 30) to = on.lone(two, seven);
    else if (t == 30) to = on.add(on.add(seven, fixed0(640)), two);
    else if (t == 31) to = on.add(on.add(seven, work.w31), two);
    else if (t == 32) to = on.add(on.add(seven, work.w32), two);
    else expand(on, w, t);
}

// W[t], t >= 16, of the block that holds a digest: words 8 to 15 are 2^31, six zeros and 256.
template <class Pipes>
__device__ __forceinline__ void expand_digest(const Pipes& on, u32 w[16], int t)
{
    const u32 seven = w[(t - 7) & 15], two = small1(on, w[(t - 2) & 15]);
    const u32 fifteen = small0(on, w[(t - 15) & 15]);
    u32& to = w[t & 15];
    if (t == 16) to = on.lone(to, fifteen);
    else if (t == 17) to = on.add(on.add(to, fifteen), fixed1(256));
    else if (t < 22) to = on.add(on.add(to, fifteen), two);
    else if (t == 22) to = on.lone(on.add(on.add(to, fifteen), 256), two);
    else if (t == 23) to = on.lone(on.add(on.add(to, fixed0(0x80000000)), seven), two);
    else if (t == 24) to = on.add(on.add(seven, 0x80000000), two);
    else if (t < 30) to = on.lone(two, seven);
    else if (t == 30) to = on.add(on.add(seven, fixed0(256)), two);
    else if (t == 31) to = on.lone(on.add(on.add(seven, 256), fifteen), two);
    else expand(on, w, t);
}

// FIPS 180-4's compression of any block, a ring of sixteen rounds at a time.
template <class Pipes>
__device__ __forceinline__ void compress(const Pipes& on, u32 chain[8], u32 w[16])
{
    u32 s[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) s[i] = chain[i];
    for (int first = 0; first < 64; first += 16) {
#pragma unroll
        for (int i = 0; i < 16; ++i) {
            if (first > 0) expand(on, w, i);
            one_round(on, s, on.add(on.add(s[7], SHA256_K[first + i]), w[i]), i, true);
        }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) chain[i] += s[i];
}

// ---- Fast version -------------------------------------------------------------------------------

// Rounds 4 to 63 of the block with the nonce, for all siblings: s becomes their states.
template <class Pipes>
__device__ __forceinline__ void first_hashes(
    const Pipes& on, const Work& work, u32 nonce, u32 s[MIDSTATES][8])
{
    // The header holds the nonce little-endian, SHA-256 reads big-endian.
    u32 w[16] = {work.w16, work.w17, 0, swap(nonce)};
#pragma unroll
    for (int m = 0; m < MIDSTATES; ++m) {
#pragma unroll
        for (int i = 0; i < 8; ++i) s[m][i] = work.headers[m].state[i];
        s[m][0] = on.lone(w[3], s[m][0]), s[m][4] = on.lone(w[3], s[m][4]);
    }
#pragma unroll
    for (int t = 4; t < 64; ++t) {
        if (t >= 18) expand_header(on, w, t, work);
        const u32 known = t == 15 ? SHA256_K[t] + 640 : t == 16 ? work.k16 : t == 17 ? work.k17
                                                                             : SHA256_K[t];
#pragma unroll
        for (int m = 0; m < MIDSTATES; ++m) {
            u32 x = work.headers[m].early[t < 7 ? t - 4 : 0];
            if (t >= 18) x = on.add(s[m][7], on.add(w[t & 15], known));
            else if (t >= 7) x = on.add(s[m][7], known);
            one_round(on, s[m], x, t, t < 7 || t >= 18);
        }
    }
}

// H7 of the second hash; s is the first hash's state. Rounds 61-63 only move round 60's e to h, and
// rounds 57-60 feed nothing but e, so the compiler drops the rest.
template <class Pipes>
__device__ __forceinline__ u32 second_hash(const Pipes& on, const Header& header, u32 s[8])
{
    u32 w[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0x80000000, 0, 0, 0, 0, 0, 0, 256};
#pragma unroll
    for (int i = 0; i < 8; ++i) w[i] = on.lone(s[i], header.midstate[i]);
    s[4] = on.lone(s[0], header.e), s[0] = on.lone(s[0], header.a);
#pragma unroll
    for (int i = 1; i < 4; ++i) s[i] = SHA256_IV[i - 1], s[i + 4] = SHA256_IV[i + 3];
#pragma unroll
    for (int t = 1; t < 60; ++t) {
        if (t >= 16) expand_digest(on, w, t);
        const bool padding = t >= 8 && t < 16;
        u32 x = on.add(s[7], padding ? SHA256_K[t] + w[t] : SHA256_K[t]);
        if (t < 4) x = on.add(w[t], SHA256_K[t] + s[7]);
        else if (!padding) x = on.add(x, w[t & 15]);
        one_round(on, s, x, t, !padding);
    }
    expand_digest(on, w, 60);
    const u32 x = on.add(on.add(s[7], SHA256_K[60] + SHA256_IV[7]), w[60 & 15]);
    return on.lone(on.add(on.add(x, ch(s[4], s[5], s[6])), big1(s[4])), s[3]);
}

// ---- Launcher -----------------------------------------------------------------------------------

// Scans first ... first + count - 1 (count and the thread total below 2^31). Each header has a list
// of 1 + capacity words in found: the number of all hits, also those beyond capacity, so that an
// overflow is seen, then the nonces, unsorted.
extern "C" __global__ void sha256d_scan(
    Work work, Factors by, u32 first, u32 count, u32 mask, u32* found, u32 capacity)
{
    const PIPES on{by};
    const u32 stride = gridDim.x * blockDim.x;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        u32 s[MIDSTATES][8];
        first_hashes(on, work, first + i, s);
#pragma unroll
        for (int m = 0; m < MIDSTATES; ++m) {
            if ((second_hash(on, work.headers[m], s[m]) & mask) == 0) {
                u32* list = found + m * (1 + capacity);
                const u32 slot = atomicAdd(list, 1u);
                if (slot < capacity) list[1 + slot] = first + i;
            }
        }
    }
}

// ---- Verification -------------------------------------------------------------------------------

// Any whole padded message, one thread: the published test vectors through the code above.
extern "C" __global__ void sha256_message(
    const u32* blocks, u32 block_count, u32* digest, Factors by)
{
    const PIPES on{by};
    u32 chain[8], w[16];
    for (int i = 0; i < 8; ++i) chain[i] = SHA256_IV[i];
    for (u32 b = 0; b < block_count; ++b) {
        for (int i = 0; i < 16; ++i) w[i] = blocks[16 * b + i];
        compress(on, chain, w);
    }
    for (int i = 0; i < 8; ++i) digest[i] = chain[i];
}
