/*
 * Stream-ordered memory. A pool takes whole chunks of the device and keeps them,
 * so it is charged by what the driver says that it reserves: before an
 * allocation by what is missing in it, afterwards by the driver's figure.
 */
#include <stdlib.h>

#include "../include/share_env.h"
#include "charging.h"
#include "chunks.h"
#include "cuda_device.h"
#include "gate.h"
#include "lazy.h"
#include "pools.h"
#include "process.h"
#include "resolve.h"

#define CAPTURE_NONE 0
#define LEAST_BYTES 512

/* One of the four calls, as if it named its pool. */
struct request {
    CUdeviceptr *address;
    size_t bytes;
    CUmemoryPool pool; /* NULL: the current one of the stream's GPU */
    CUstream stream;
    bool per_thread;
};

static CUresult ask_driver(const struct request *request)
{
    if (request->pool == NULL) {
        ci_pfn_cuMemAllocAsync real =
            request->per_thread ? CI_CALL(cuMemAllocAsync_ptsz) : CI_CALL(cuMemAllocAsync);
        return real == NULL ? CUDA_ERROR_NO_DEVICE : real(request->address, request->bytes, request->stream);
    }
    ci_pfn_cuMemAllocFromPoolAsync real =
        request->per_thread ? CI_CALL(cuMemAllocFromPoolAsync_ptsz) : CI_CALL(cuMemAllocFromPoolAsync);
    return real == NULL ? CUDA_ERROR_NO_DEVICE
                        : real(request->address, request->bytes, request->pool, request->stream);
}

/* What a graph captures is charged when the graph is launched. */
static bool is_capturing(const struct request *request)
{
    ci_pfn_cuStreamIsCapturing real =
        request->per_thread ? CI_CALL(cuStreamIsCapturing_ptsz) : CI_CALL(cuStreamIsCapturing);
    CUstreamCaptureStatus status = CAPTURE_NONE;
    return real != NULL && real(request->stream, &status) == CUDA_SUCCESS && status != CAPTURE_NONE;
}

static CUmemoryPool pool_of(const struct request *request, const struct ci_device *device)
{
    ci_pfn_cuDeviceGetMemPool current = CI_CALL(cuDeviceGetMemPool);
    CUmemoryPool pool = request->pool;
    if (pool == NULL && (current == NULL || current(&pool, device->ordinal) != CUDA_SUCCESS))
        return NULL;
    return pool;
}

static void take_back(const struct request *request, CUmemoryPool pool)
{
    ci_pfn_cuMemFreeAsync give_back = request->per_thread ? CI_CALL(cuMemFreeAsync_ptsz) : CI_CALL(cuMemFreeAsync);
    ci_pfn_cuMemPoolTrimTo trim = CI_CALL(cuMemPoolTrimTo);
    if (give_back != NULL)
        give_back(*request->address, request->stream);
    *request->address = 0;
    if (trim != NULL)
        trim(pool, 0);
}

static CUresult allocate(const struct request *request);

static void free_async(bool per_thread, CUdeviceptr address, CUstream stream)
{
    if (per_thread)
        cuMemFreeAsync_ptsz(address, stream);
    else
        cuMemFreeAsync(address, stream);
}

/* The least request shows in which steps the pool grows; what it takes is given back at once. */
static bool find_step(const struct request *request, CUmemoryPool pool)
{
    ci_pfn_cuMemPoolGetAttribute ask = CI_CALL(cuMemPoolGetAttribute);
    ci_pfn_cuMemPoolTrimTo trim = CI_CALL(cuMemPoolTrimTo);
    CUdeviceptr address = 0;
    uint64_t reserved = 0;
    if (ci_chunk_is_known(request->bytes) || request->bytes <= LEAST_BYTES || ask == NULL || trim == NULL ||
        ask(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &reserved) != CUDA_SUCCESS)
        return false;
    if (allocate(&(struct request){&address, LEAST_BYTES, pool, request->stream, request->per_thread}) != CUDA_SUCCESS)
        return false;
    free_async(request->per_thread, address, request->stream);
    trim(pool, (size_t)reserved);
    ci_pool_settle(pool);
    return ci_chunk_is_known(request->bytes);
}

static CUresult allocate_charged(const struct request *request, CUmemoryPool pool, struct ci_allocation *entry)
{
    struct ci_growth growth;
    CUresult result = ci_pool_begin(&growth, pool, request->stream, request->bytes);
    if (result != CUDA_SUCCESS && find_step(request, pool))
        result = ci_pool_begin(&growth, pool, request->stream, request->bytes);
    if (result != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = ask_driver(request);
    if (result == CUDA_SUCCESS && !ci_growth_fits(&growth)) {
        take_back(request, pool);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS) {
        ci_growth_cancel(&growth);
        return result;
    }
    *entry = (struct ci_allocation){
        .key = *request->address, .space = CI_SPACE_ADDRESS, .pool = growth.pool, .extent = growth.bytes};
    ci_pointers_insert(entry);
    ci_growth_end(&growth);
    return result;
}

static CUresult allocate(const struct request *request)
{
    struct ci_config *config = ci_process_join();
    if (config == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct ci_device device = ci_device_of_stream(config, request->stream);
    CUmemoryPool pool = device.access == CI_ACCESS_UNKNOWN ? NULL : pool_of(request, &device);
    if (pool == NULL || request->bytes == 0 || is_capturing(request))
        return ask_driver(request);
    struct ci_allocation *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = allocate_charged(request, pool, entry);
    if (result != CUDA_SUCCESS)
        free(entry);
    return result;
}

CUresult cuMemAllocAsync(CUdeviceptr *dptr, size_t bytesize, CUstream hStream)
{
    return allocate(&(struct request){dptr, bytesize, NULL, hStream, false});
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *dptr, size_t bytesize, CUstream hStream)
{
    return allocate(&(struct request){dptr, bytesize, NULL, hStream, true});
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream)
{
    return allocate(&(struct request){dptr, bytesize, pool, hStream, false});
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream)
{
    return allocate(&(struct request){dptr, bytesize, pool, hStream, true});
}

CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *poolProps)
{
    ci_pfn_cuMemPoolCreate real = CI_CALL(cuMemPoolCreate);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(pool, poolProps);
    if (result != CUDA_SUCCESS)
        return result;
    int type = poolProps->location.type;
    int id = type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN ? poolProps->location.id & 0xff : poolProps->location.id;
    bool on_device = type == CU_MEM_LOCATION_TYPE_DEVICE || type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN;
    /* managed memory without a GPU of its own is charged where it is first used */
    if (on_device || poolProps->type != CU_MEM_ALLOCATION_TYPE_MANAGED)
        ci_pool_add(*pool, on_device ? id : -1, on_device);
    return result;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *pool_out, void *handle, CUmemAllocationHandleType handleType,
                                            unsigned long long flags)
{
    ci_pfn_cuMemPoolImportFromShareableHandle real = CI_CALL(cuMemPoolImportFromShareableHandle);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(pool_out, handle, handleType, flags);
    if (result == CUDA_SUCCESS)
        ci_pool_add(*pool_out, -1, false);
    return result;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    ci_pfn_cuMemPoolDestroy real = CI_CALL(cuMemPoolDestroy);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_pool *known = ci_pool_begin_destroy(pool);
    CUresult result = real(pool);
    ci_pool_end_destroy(known, result == CUDA_SUCCESS);
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep)
{
    ci_pfn_cuMemPoolTrimTo real = CI_CALL(cuMemPoolTrimTo);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUresult result = real(pool, minBytesToKeep);
    ci_pool_settle(pool);
    return result;
}

/* A synchronization is where pools give back what they hold beyond their threshold, and where
 * a program that then launches nothing for long has paid too much or too little for what ran. */
static CUresult after_wait(CUresult result)
{
    if (result == CUDA_SUCCESS) {
        ci_gate_settle();
        ci_pools_settle();
        ci_lazy_settle();
    }
    return result;
}

CUresult cuStreamSynchronize(CUstream hStream)
{
    ci_pfn_cuStreamSynchronize real = CI_CALL(cuStreamSynchronize);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : after_wait(real(hStream));
}

CUresult cuStreamSynchronize_ptsz(CUstream hStream)
{
    ci_pfn_cuStreamSynchronize_ptsz real = CI_CALL(cuStreamSynchronize_ptsz);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : after_wait(real(hStream));
}

CUresult cuEventSynchronize(CUevent hEvent)
{
    ci_pfn_cuEventSynchronize real = CI_CALL(cuEventSynchronize);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : after_wait(real(hEvent));
}

CUresult cuCtxSynchronize(void)
{
    ci_pfn_cuCtxSynchronize real = CI_CALL(cuCtxSynchronize);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : after_wait(real());
}

CUresult cuCtxSynchronize_v2(CUcontext ctx)
{
    ci_pfn_cuCtxSynchronize_v2 real = CI_CALL(cuCtxSynchronize_v2);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : after_wait(real(ctx));
}
