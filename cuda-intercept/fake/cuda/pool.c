/* Stream-ordered allocation. Work on memory is done when it is queued, so an
 * allocation is there at once; a free gives its bytes back at once, which is
 * what a pool with the default release threshold of 0 does when it is next
 * synchronized. Pools of a program's own are not there yet. */
#include "memory.h"

struct CUmemPoolHandle_st {
    CUdevice ordinal;
    cuuint64_t release_threshold;
};

static struct CUmemPoolHandle_st default_pools[FG_MAX_GPUS];

static CUmemoryPool default_pool(CUdevice device)
{
    default_pools[device].ordinal = device;
    return &default_pools[device];
}

static CUresult get_pool(CUmemoryPool *out, CUdevice device)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!fg_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = default_pool(device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *out, CUdevice device)
{
    return get_pool(out, device);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *out, CUdevice device)
{
    return get_pool(out, device);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
    CUmemoryPool known;
    CUresult result = get_pool(&known, device);
    return result != CUDA_SUCCESS || pool == known ? result : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t bytes)
{
    (void)bytes;
    return pool ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute name, void *value)
{
    if (!pool || !value)
        return CUDA_ERROR_INVALID_VALUE;
    if (name == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        pool->release_threshold = *(cuuint64_t *)value;
    return CUDA_SUCCESS;
}

static uint64_t held_bytes(CUmemoryPool pool)
{
    const struct fg_gpu *gpu = fg_device(pool->ordinal);
    return fg_memory_held_bytes(fg_machine_number(gpu), FG_ASYNC);
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute name, void *value)
{
    if (!pool || !value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (name) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        *(int *)value = 1;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(cuuint64_t *)value = pool->release_threshold;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(cuuint64_t *)value = held_bytes(pool);
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuMemAllocAsync(CUdeviceptr *out, size_t bytes, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    return fg_memory_allocate(FG_ASYNC, bytes, 0, out);
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *out, size_t bytes, CUstream handle)
{
    return cuMemAllocAsync(out, bytes, fg_per_thread(handle));
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t bytes, CUmemoryPool pool, CUstream handle)
{
    return pool ? cuMemAllocAsync(out, bytes, handle) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *out, size_t bytes, CUmemoryPool pool,
                                      CUstream handle)
{
    return cuMemAllocFromPoolAsync(out, bytes, pool, fg_per_thread(handle));
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    return address ? fg_memory_free(address) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr address, CUstream handle)
{
    return cuMemFreeAsync(address, fg_per_thread(handle));
}
