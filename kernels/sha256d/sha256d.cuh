// SHA-256d over Bitcoin headers: which nonces of a range give a double hash whose last word H7
// meets a share mask. Source: FIPS 180-4; Bitcoin's header layout. One instruction stream serves
// real difficulty and dense shares alike, because the mask is a run-time argument. Compiles as
// CUDA C++ (NVRTC, nvcc), and as plain C++ where the includer supplies the CUDA names.

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

// What the host works out once per header: the chaining value after the first 64 bytes, a … h
// after rounds 0–3 of the second block had the nonce been 0 (W3 is only ever added, to a and e), its
// schedule words W16 and W17, and W2 (the bits field).
struct Work {
    u32 midstate[8];
    u32 state[8];
    u32 w16, w17, w2;
};

// ---- Plain reference: the compression as FIPS 180-4 writes it ----------------------------------

__device__ __forceinline__ u32 rotr(u32 x, int n) { return (x >> n) | (x << (32 - n)); }
__device__ __forceinline__ u32 swap(u32 x) { return __byte_perm(x, 0, 0x0123); }
__device__ __forceinline__ u32 big0(u32 x) { return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22); }
__device__ __forceinline__ u32 big1(u32 x) { return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25); }
__device__ __forceinline__ u32 small0(u32 x) { return rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3); }
__device__ __forceinline__ u32 small1(u32 x) { return rotr(x, 17) ^ rotr(x, 19) ^ (x >> 10); }
__device__ __forceinline__ u32 ch(u32 e, u32 f, u32 g) { return (e & f) ^ (~e & g); }
__device__ __forceinline__ u32 maj(u32 a, u32 b, u32 c) { return (a & b) ^ (a & c) ^ (b & c); }

// Rounds FIRST … LAST−1 on s. w is a ring: slot t % 16 holds W[t] for t < KNOWN, later words are
// computed into it. Unrolled, every index and every constant word is known to the compiler.
template <int FIRST, int LAST, int KNOWN>
__device__ __forceinline__ void rounds(u32 s[8], u32 w[16])
{
#pragma unroll
    for (int t = FIRST; t < LAST; ++t) {
        if (t >= KNOWN)
            w[t & 15] += small0(w[(t - 15) & 15]) + w[(t - 7) & 15] + small1(w[(t - 2) & 15]);
        const u32 t1 = s[7] + SHA256_K[t] + w[t & 15] + ch(s[4], s[5], s[6]) + big1(s[4]);
        const u32 t2 = big0(s[0]) + maj(s[0], s[1], s[2]);
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
}

__device__ __forceinline__ void compress(u32 chain[8], u32 w[16])
{
    u32 s[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) s[i] = chain[i];
    rounds<0, 64, 16>(s, w);
#pragma unroll
    for (int i = 0; i < 8; ++i) chain[i] += s[i];
}

// ---- Fast version -------------------------------------------------------------------------------

// H7 of the double hash. In the second hash rounds 61–63 only move round 60's e to h, and rounds
// 57–60 feed nothing but e, so the compiler drops the rest.
__device__ __forceinline__ u32 last_word(const Work& work, u32 nonce)
{
    const u32 w3 = swap(nonce);  // the header holds it little-endian, SHA-256 reads big-endian
    u32 s[8], w[16] = {work.w16, work.w17, work.w2, w3, 0x80000000, 0, 0, 0,
                       0, 0, 0, 0, 0, 0, 0, 640};
#pragma unroll
    for (int i = 0; i < 8; ++i) s[i] = work.state[i];
    s[0] += w3, s[4] += w3;
    rounds<4, 64, 18>(s, w);

    u32 v[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0x80000000, 0, 0, 0, 0, 0, 0, 256};
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = work.midstate[i] + s[i], s[i] = SHA256_IV[i];
    rounds<0, 61, 16>(s, v);
    return s[4] + SHA256_IV[7];
}

// ---- Launcher -----------------------------------------------------------------------------------

// Scans first … first + count − 1 (count and the thread total below 2^31). found[0] counts every
// hit, also those beyond capacity, so that an overflow is seen; the nonces follow it unsorted.
extern "C" __global__ void sha256d_scan(
    Work work, u32 first, u32 count, u32 mask, u32* found, u32 capacity)
{
    const u32 stride = gridDim.x * blockDim.x;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
        if ((last_word(work, first + i) & mask) == 0) {
            const u32 slot = atomicAdd(found, 1u);
            if (slot < capacity) found[1 + slot] = first + i;
        }
    }
}

// ---- Verification -------------------------------------------------------------------------------

// Any whole padded message, one thread: the published test vectors through the code above.
extern "C" __global__ void sha256_message(const u32* blocks, u32 block_count, u32* digest)
{
    u32 chain[8], w[16];
    for (int i = 0; i < 8; ++i) chain[i] = SHA256_IV[i];
    for (u32 b = 0; b < block_count; ++b) {
        for (int i = 0; i < 16; ++i) w[i] = blocks[16 * b + i];
        compress(chain, w);
    }
    for (int i = 0; i < 8; ++i) digest[i] = chain[i];
}
