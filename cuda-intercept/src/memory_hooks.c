/* Linear memory: cuMemAlloc and its kin, and what frees them. */
#include <stdlib.h>

#include "../include/share_env.h"
#include "charging.h"
#include "pools.h"
#include "process.h"
#include "resolve.h"

#define PITCH_BYTES 512 /* what current GPUs align rows to; the driver's own figure is charged in the end */

/* The least that any allocation takes. */
#define UNIT_BYTES 512

static uint64_t round_up(uint64_t bytes)
{
    return bytes > UINT64_MAX - UNIT_BYTES ? bytes : (bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
}

static CUresult settle(struct ci_pending *pending, CUresult result, const CUdeviceptr *address, bool dies_with_context)
{
    if (result == CUDA_SUCCESS)
        ci_charge_keep(pending, CI_SPACE_ADDRESS, *address, dies_with_context);
    else
        ci_charge_cancel(pending);
    return result;
}

CUresult cuInit(unsigned int Flags)
{
    ci_pfn_cuInit real = CI_CALL(cuInit);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    /* Programs may lock themselves up after this: what has to be opened is opened
     * now. Many do no more than ask which GPUs there are: they join no share. */
    ci_config_get();
    return real(Flags);
}

CUresult cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytesize)
{
    ci_pfn_cuMemAlloc_v2 real = CI_CALL(cuMemAlloc_v2);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (ci_charge_begin(&pending, HAMI_TOTAL_DEVICE, round_up(bytesize)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return settle(&pending, real(dptr, bytesize), dptr, true);
}

CUresult cuMemAlloc(CUdeviceptr_v1 *dptr, unsigned int bytesize)
{
    ci_pfn_cuMemAlloc real = CI_CALL(cuMemAlloc);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (ci_charge_begin(&pending, HAMI_TOTAL_DEVICE, round_up(bytesize)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(dptr, bytesize);
    CUdeviceptr address = result == CUDA_SUCCESS ? *dptr : 0;
    return settle(&pending, result, &address, true);
}

CUresult cuMemAllocManaged(CUdeviceptr *dptr, size_t bytesize, unsigned int flags)
{
    ci_pfn_cuMemAllocManaged real = CI_CALL(cuMemAllocManaged);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (ci_charge_begin(&pending, HAMI_TOTAL_MANAGED, round_up(bytesize)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return settle(&pending, real(dptr, bytesize, flags), dptr, true);
}

static CUresult begin_pitch(struct ci_pending *pending, size_t width, size_t height)
{
    size_t row;
    size_t bytes;
    if (__builtin_add_overflow(width, PITCH_BYTES - 1, &row) ||
        __builtin_mul_overflow(row / PITCH_BYTES * PITCH_BYTES, height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return ci_charge_begin(pending, HAMI_TOTAL_DEVICE, bytes);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pPitch, size_t WidthInBytes, size_t Height,
                            unsigned int ElementSizeBytes)
{
    ci_pfn_cuMemAllocPitch_v2 real = CI_CALL(cuMemAllocPitch_v2);
    ci_pfn_cuMemFree_v2 give_back = CI_CALL(cuMemFree_v2);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_pitch(&pending, WidthInBytes, Height) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(dptr, pPitch, WidthInBytes, Height, ElementSizeBytes);
    if (result == CUDA_SUCCESS && !ci_charge_resize(&pending, *pPitch * Height)) {
        if (give_back != NULL)
            give_back(*dptr);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    return settle(&pending, result, dptr, true);
}

CUresult cuMemAllocPitch(CUdeviceptr_v1 *dptr, unsigned int *pPitch, unsigned int WidthInBytes, unsigned int Height,
                         unsigned int ElementSizeBytes)
{
    ci_pfn_cuMemAllocPitch real = CI_CALL(cuMemAllocPitch);
    ci_pfn_cuMemFree give_back = CI_CALL(cuMemFree);
    struct ci_pending pending;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_pitch(&pending, WidthInBytes, Height) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(dptr, pPitch, WidthInBytes, Height, ElementSizeBytes);
    if (result == CUDA_SUCCESS && !ci_charge_resize(&pending, (uint64_t)*pPitch * Height)) {
        if (give_back != NULL)
            give_back(*dptr);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUdeviceptr address = result == CUDA_SUCCESS ? *dptr : 0;
    return settle(&pending, result, &address, true);
}

/* The entry is out of the table before the driver frees: another thread may be
 * given the same address the moment it has. */
static struct ci_allocation *begin_free(CUdeviceptr address)
{
    ci_process_join();
    struct ci_allocation *entry = ci_pointers_take(CI_SPACE_ADDRESS, address);
    if (entry != NULL && entry->pool != NULL)
        ci_pool_begin_put(entry->pool, entry->extent);
    return entry;
}

static CUresult settle_free(struct ci_allocation *entry, CUresult result)
{
    if (entry == NULL)
        return result;
    if (entry->pool != NULL)
        ci_pool_end_put(entry->pool, entry->extent, result == CUDA_SUCCESS);
    if (result != CUDA_SUCCESS)
        ci_pointers_insert(entry);
    else if (entry->pool != NULL)
        free(entry);
    else
        ci_charge_drop(entry);
    return result;
}

CUresult cuMemFree_v2(CUdeviceptr dptr)
{
    ci_pfn_cuMemFree_v2 real = CI_CALL(cuMemFree_v2);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_allocation *entry = begin_free(dptr);
    CUresult result = settle_free(entry, real(dptr));
    ci_pools_settle(); /* this call synchronizes */
    return result;
}

CUresult cuMemFree(CUdeviceptr_v1 dptr)
{
    ci_pfn_cuMemFree real = CI_CALL(cuMemFree);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_allocation *entry = begin_free(dptr);
    CUresult result = settle_free(entry, real(dptr));
    ci_pools_settle();
    return result;
}

static CUresult free_async(ci_pfn_cuMemFreeAsync real, CUdeviceptr dptr, CUstream stream)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_allocation *entry = begin_free(dptr);
    return settle_free(entry, real(dptr, stream));
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream)
{
    return free_async(CI_CALL(cuMemFreeAsync), dptr, hStream);
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr dptr, CUstream hStream)
{
    return free_async(CI_CALL(cuMemFreeAsync_ptsz), dptr, hStream);
}
