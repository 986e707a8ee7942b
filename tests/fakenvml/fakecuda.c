/* As much of libcuda.so.1 as `bench doctor` asks: the version it serves and the GPUs of fakenvml.c in
 * CUDA's order, without a context on any. Names, numbers and layouts are those of NVIDIA's public
 * cuda.h.
 *
 *   FAKENVML_GPUS=1           how many GPUs
 *   FAKENVML_CUDA=13000       the newest CUDA that the driver serves: 13.0
 *   FAKECUDA_REVERSED         counts them backwards
 *   FAKECUDA_INIT=0           what cuInit returns; HANG: it does not */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int number(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

int cuDriverGetVersion(int *version) {
    *version = number("FAKENVML_CUDA", 13000);
    return 0;
}

int cuInit(unsigned flags) {
    const char *text = getenv("FAKECUDA_INIT");
    (void)flags;
    while (text && !strcmp(text, "HANG")) pause();
    return number("FAKECUDA_INIT", 0);
}

int cuDeviceGetCount(int *count) {
    *count = number("FAKENVML_GPUS", 1);
    return 0;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = getenv("FAKECUDA_REVERSED") ? number("FAKENVML_GPUS", 1) - 1 - ordinal : ordinal;
    return 0;
}

int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    static const unsigned char first[16] = {0xfa, 0x4e, 0, 0, 0, 0, 0x40, 0, 0x80};
    memcpy(uuid, first, sizeof first);
    uuid[3] = uuid[15] = (unsigned char)device;
    return 0;
}
