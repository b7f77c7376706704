/* A libcuda.so.1 with one GPU and no rules, for calls that need no more of a
 * driver than that it says yes: arrays and virtual memory. */
#include <stdatomic.h>
#include <string.h>

#include "../src/abi.h"

#define API CI_EXPORT

static _Atomic unsigned long long next_handle = 0x1000;
static unsigned long long context;

API CUresult cuInit(unsigned int flags)
{
    return flags == 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuCtxGetDevice(CUdevice *device)
{
    *device = 0;
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetCurrent(CUcontext *current)
{
    *current = &context;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    static const unsigned char bytes[16] = {0x1f, 0x2e, 0x6a, 0x40, 0x5c, 0x0d, 0x4b, 0x7e,
                                            0x9a, 0x31, 0x0d, 0x6c, 0x1b, 0x8e, 0x7f, 0x01};
    memcpy(uuid->bytes, bytes, sizeof(bytes));
    return device == 0 ? CUDA_SUCCESS : 101;
}

API CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    *free = *total = (size_t)80 << 30;
    return CUDA_SUCCESS;
}

#define MOST_OF_32_BITS 0xfffff000U

API CUresult cuMemGetInfo(unsigned int *free, unsigned int *total)
{
    *free = *total = MOST_OF_32_BITS;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    *bytes = (size_t)80 << 30;
    return device == 0 ? CUDA_SUCCESS : 101;
}

API CUresult cuDeviceTotalMem(unsigned int *bytes, CUdevice device)
{
    *bytes = MOST_OF_32_BITS;
    return device == 0 ? CUDA_SUCCESS : 101;
}

API CUresult cuCtxDestroy_v2(CUcontext destroyed)
{
    return destroyed == &context ? CUDA_SUCCESS : 201;
}

API CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size)
{
    *address = next_handle++ << 20;
    return size > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemFree_v2(CUdeviceptr address)
{
    return address != 0 ? CUDA_SUCCESS : 1;
}

/* The first versions have addresses of 32 bits. */
API CUresult cuMemAlloc(CUdeviceptr_v1 *address, unsigned int size)
{
    *address = (CUdeviceptr_v1)next_handle++;
    return size > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemAllocPitch(CUdeviceptr_v1 *address, unsigned int *pitch, unsigned int width, unsigned int height,
                             unsigned int element)
{
    *pitch = (width + 4095) / 4096 * 4096;
    return element == 4 ? cuMemAlloc(address, *pitch * height) : 1;
}

API CUresult cuMemFree(CUdeviceptr_v1 address)
{
    return address != 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop,
                         unsigned long long flags)
{
    (void)prop, (void)flags;
    *handle = next_handle++;
    return size > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    return handle != 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                      unsigned long long flags)
{
    return address != 0 && size > 0 && offset == 0 && handle != 0 && flags == 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemUnmap(CUdeviceptr address, size_t size)
{
    return address != 0 && size > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address)
{
    *handle = next_handle++;
    return address != NULL ? CUDA_SUCCESS : 1;
}

API CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *descriptor)
{
    *array = (CUarray)(uintptr_t)next_handle++;
    return descriptor->width > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    *array = (CUarray)(uintptr_t)next_handle++;
    return descriptor->width > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuArrayCreate(CUarray *array, const CUDA_ARRAY_DESCRIPTOR_v1 *descriptor)
{
    *array = (CUarray)(uintptr_t)next_handle++;
    return descriptor->width > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuArray3DCreate(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR_v1 *descriptor)
{
    *array = (CUarray)(uintptr_t)next_handle++;
    return descriptor->width > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuArrayDestroy(CUarray array)
{
    return array != NULL ? CUDA_SUCCESS : 1;
}

API CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *descriptor,
                                    unsigned int levels)
{
    *array = (CUmipmappedArray)(uintptr_t)next_handle++;
    return descriptor->width > 0 && levels > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    return array != NULL ? CUDA_SUCCESS : 1;
}

/* One pool, which grows by 32 MiB, keeps all that it has, and gives nothing back but by a trim. */
static _Atomic unsigned long long pool_used;
static _Atomic unsigned long long pool_reserved;

API CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
    *pool = (CUmemoryPool)&pool_used;
    return device == 0 ? CUDA_SUCCESS : 101;
}

API CUresult cuDeviceGetCount(int *count)
{
    *count = 1;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
    return cuDeviceGetMemPool(pool, device);
}

API CUresult cuMemAllocAsync(CUdeviceptr *address, size_t size, CUstream stream)
{
    (void)stream;
    *address = next_handle++ << 20;
    unsigned long long chunk = 32ULL << 20;
    unsigned long long wanted = (atomic_fetch_add(&pool_used, size) + size + chunk - 1) / chunk * chunk;
    if (wanted > pool_reserved)
        pool_reserved = wanted;
    return CUDA_SUCCESS;
}

API CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream)
{
    (void)stream;
    return address != 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    (void)pool;
    if (attribute != CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)
        return 801;
    *(unsigned long long *)value = pool_reserved;
    return CUDA_SUCCESS;
}

API CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    (void)pool;
    pool_reserved = keep;
    pool_used = 0;
    return CUDA_SUCCESS;
}

API CUresult cuStreamSynchronize(CUstream stream)
{
    (void)stream;
    return CUDA_SUCCESS;
}

/* Launches take no time; an event was passed when it is asked about. */
API CUresult cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                            unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                            unsigned int sharedMemBytes, CUstream hStream, void **kernelParams, void **extra)
{
    (void)gridDimY, (void)gridDimZ, (void)blockDimX, (void)blockDimY, (void)blockDimZ, (void)sharedMemBytes;
    (void)hStream, (void)kernelParams, (void)extra;
    return f != NULL && gridDimX > 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
    *event = &context;
    return flags == 0 ? CUDA_SUCCESS : 1;
}

API CUresult cuEventRecord(CUevent event, CUstream stream)
{
    (void)stream;
    return event != NULL ? CUDA_SUCCESS : 400;
}

API CUresult cuEventQuery(CUevent event)
{
    return event != NULL ? CUDA_SUCCESS : 400;
}

API CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    *milliseconds = 0.02F;
    return start == end ? CUDA_SUCCESS : 400;
}

API CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    (void)stream, (void)mode;
    return CUDA_SUCCESS;
}

API CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    (void)stream;
    *graph = &context;
    return CUDA_SUCCESS;
}

API CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    (void)stream;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

API CUresult cuCtxSetCurrent(CUcontext current)
{
    return current == &context ? CUDA_SUCCESS : 201;
}

/* A version that nothing knows of yet, with a parameter more. */
API CUresult cuMemAlloc_v9(CUdeviceptr *address, size_t size, unsigned int flags)
{
    *address = flags;
    return size > 0 ? CUDA_SUCCESS : 1;
}

static CUresult alloc_managed(CUdeviceptr *address, size_t size, unsigned int flags)
{
    return flags == 1 ? cuMemAlloc_v2(address, size) : 1;
}

static CUresult alloc(CUdeviceptr *address, size_t size)
{
    return cuMemAlloc_v2(address, size);
}

/* What it hands out for versions that are known is not what it exports. */
API CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags,
                                 CUdriverProcAddressQueryResult *symbolStatus)
{
    *pfn = NULL;
    if (strcmp(symbol, "cuMemAlloc") == 0)
        *pfn = cudaVersion < 14000 ? (void *)alloc : (void *)cuMemAlloc_v9;
    else if (strcmp(symbol, "cuMemAllocManaged") == 0)
        *pfn = (void *)alloc_managed;
    *symbolStatus = *pfn == NULL ? 1 : 0;
    return flags == 0 ? CUDA_SUCCESS : 1;
}
