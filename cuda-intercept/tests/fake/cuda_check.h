/* What tests of the fake libcuda begin with. */
#ifndef FG_CUDA_CHECK_H
#define FG_CUDA_CHECK_H

#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>

#include "check.h"

/* Makes the primary context of a GPU current; the status of what failed. */
static inline CUresult use_gpu(int ordinal)
{
    CUdevice device;
    CUcontext context;
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS)
        result = cuDeviceGet(&device, ordinal);
    if (result == CUDA_SUCCESS)
        result = cuDevicePrimaryCtxRetain(&context, device);
    return result == CUDA_SUCCESS ? cuCtxSetCurrent(context) : result;
}

static inline CUresult allocate(unsigned mebibytes)
{
    CUdeviceptr address;
    return cuMemAlloc_v2(&address, mebibytes * MIB);
}

static inline size_t free_mebibytes(void)
{
    size_t free = 0, total = 0;
    CHECK_EQUAL(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free / MIB;
}

#endif
