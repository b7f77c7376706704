/*
 * Virtual memory management: physical memory belongs to a handle, and stays on
 * the device until every handle is released and every mapping undone.
 */
#include <pthread.h>
#include <stdlib.h>

#include "../include/share_env.h"
#include "charging.h"
#include "process.h"
#include "resolve.h"

/* Guards the counts of handles and mappings; never held over a driver call. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Adds to the counts; the allocation goes when both have come to nothing. */
static void refer(struct ci_allocation *backing, int handles, int mappings)
{
    if (backing == NULL)
        return;
    pthread_mutex_lock(&mutex);
    backing->handles += (unsigned int)handles;
    backing->mappings += (unsigned int)mappings;
    bool gone = backing->handles == 0 && backing->mappings == 0;
    pthread_mutex_unlock(&mutex);
    if (gone)
        ci_charge_drop(backing);
}

/* The allocation behind a handle, kept from going by one more mapping. */
static struct ci_allocation *find_and_keep(CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&mutex);
    struct ci_allocation *backing = ci_pointers_find(CI_SPACE_HANDLE, handle);
    if (backing != NULL)
        backing->mappings++;
    pthread_mutex_unlock(&mutex);
    return backing;
}

static bool device_of(const CUmemAllocationProp *prop, CUdevice *ordinal)
{
    if (prop == NULL)
        return false; /* the driver's to refuse */
    *ordinal = prop->location.id;
    if (prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN)
        *ordinal = prop->location.id & 0xff;
    return prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE ||
           prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *prop,
                     unsigned long long flags)
{
    ci_pfn_cuMemCreate real = CI_CALL(cuMemCreate);
    struct ci_pending pending;
    CUdevice ordinal;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (!device_of(prop, &ordinal))
        return real(handle, size, prop, flags);
    if (ci_charge_begin_ordinal(&pending, HAMI_TOTAL_VIRTUAL, size, ordinal) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(handle, size, prop, flags);
    if (result == CUDA_SUCCESS)
        ci_charge_keep(&pending, CI_SPACE_HANDLE, *handle, false);
    else
        ci_charge_cancel(&pending);
    return result;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    ci_pfn_cuMemRelease real = CI_CALL(cuMemRelease);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    /* The last handle leaves the table first: the driver may hand the number
     * out again the moment it has released it. */
    pthread_mutex_lock(&mutex);
    struct ci_allocation *backing = ci_pointers_find(CI_SPACE_HANDLE, handle);
    bool last = backing != NULL && backing->handles == 1;
    if (last)
        ci_pointers_take(CI_SPACE_HANDLE, handle);
    pthread_mutex_unlock(&mutex);
    CUresult result = real(handle);
    if (result == CUDA_SUCCESS)
        refer(backing, -1, 0);
    else if (last)
        ci_pointers_insert(backing);
    return result;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    ci_pfn_cuMemRetainAllocationHandle real = CI_CALL(cuMemRetainAllocationHandle);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(handle, addr);
    if (result != CUDA_SUCCESS)
        return result;
    struct ci_allocation *mapping = ci_pointers_find(CI_SPACE_MAPPING, (uintptr_t)addr);
    struct ci_allocation *backing = find_and_keep(*handle);
    if (backing == NULL && mapping != NULL && mapping->backing != NULL) {
        /* every handle was released before: the number is a new name */
        backing = mapping->backing;
        refer(backing, 1, 0);
        backing->key = *handle;
        ci_pointers_insert(backing);
        return result;
    }
    refer(backing, 1, -1);
    return result;
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    ci_pfn_cuMemMap real = CI_CALL(cuMemMap);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *mapping = calloc(1, sizeof(*mapping));
    if (mapping == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    mapping->backing = find_and_keep(handle);
    mapping->space = CI_SPACE_MAPPING;
    mapping->key = ptr;
    mapping->extent = size;
    CUresult result = real(ptr, size, offset, handle, flags);
    if (result == CUDA_SUCCESS) {
        ci_pointers_insert(mapping);
    } else {
        refer(mapping->backing, 0, -1);
        free(mapping);
    }
    return result;
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    ci_pfn_cuMemUnmap real = CI_CALL(cuMemUnmap);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUresult result = real(ptr, size);
    /* one call may undo several mappings that lie side by side */
    CUdeviceptr end = ptr + size;
    while (result == CUDA_SUCCESS && ptr < end) {
        struct ci_allocation *mapping = ci_pointers_take(CI_SPACE_MAPPING, ptr);
        if (mapping == NULL)
            break;
        ptr += mapping->extent == 0 ? end - ptr : mapping->extent;
        refer(mapping->backing, 0, -1);
        free(mapping);
    }
    return result;
}
