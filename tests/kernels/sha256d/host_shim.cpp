// The CUDA names that sha256d.cuh needs, as plain C++, and a launch as two nested loops: the very
// kernel source runs on the host, one thread after another.

#define __device__
#define __global__
#define __host__
#define __forceinline__ inline

struct Dim {
    unsigned x;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

static unsigned atomicAdd(unsigned* address, unsigned value)
{
    const unsigned old = *address;
    *address += value;
    return old;
}

static inline unsigned __umulhi(unsigned x, unsigned y)
{
    return static_cast<unsigned>(static_cast<unsigned long long>(x) * y >> 32);
}

static unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    const unsigned long long bytes = static_cast<unsigned long long>(y) << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}

#include KERNEL_SOURCE

template <class Body>
static void launch(unsigned blocks, unsigned threads, Body body)
{
    gridDim.x = blocks, blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) body();
}

extern "C" void host_scan(unsigned blocks, unsigned threads, const Work* work, const Factors* by,
                          unsigned first, unsigned count, unsigned mask, unsigned* found,
                          unsigned capacity)
{
    launch(blocks, threads, [=] { sha256d_scan(*work, *by, first, count, mask, found, capacity); });
}

extern "C" void host_message(const unsigned* words, unsigned block_count, unsigned* digest,
                             const Factors* by)
{
    launch(1, 1, [=] { sha256_message(words, block_count, digest, *by); });
}
