/*
 * Virtual memory management: physical memory belongs to a handle, and stays on
 * the device until every handle is released and every mapping undone.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../include/share_env.h"
#include "backing.h"
#include "process.h"
#include "resolve.h"

/* An address range that keeps memory on the device. */
struct mapping {
    CUdeviceptr address;
    uint64_t bytes;
    struct ci_allocation *backing; /* NULL: not charged here */
};

/* The mutex guards the counts of handles and mappings, and the mappings by rising
 * address; it is never held over a driver call. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;
static size_t count, promised, capacity; /* `promised`: mappings on their way */

void ci_mappings_reset(void)
{
    pthread_mutex_init(&mutex, NULL); /* it may be held by a thread that the child does not have */
    count = promised = 0;
}

/* The first mapping that ends behind the address. */
static size_t position(CUdeviceptr address)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mappings[middle].address + mappings[middle].bytes <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one mapping more, found before the driver is asked. */
static bool reserve_mapping(void)
{
    pthread_mutex_lock(&mutex);
    if (count + promised == capacity) {
        size_t larger = capacity == 0 ? 64 : capacity * 2;
        struct mapping *moved = realloc(mappings, larger * sizeof(*mappings));
        if (moved != NULL) {
            mappings = moved;
            capacity = larger;
        }
    }
    bool is_there = count + promised < capacity;
    promised += is_there;
    pthread_mutex_unlock(&mutex);
    return is_there;
}

struct ci_allocation *ci_backing_keep(CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&mutex);
    struct ci_allocation *backing = ci_pointers_find(CI_SPACE_HANDLE, handle);
    if (backing != NULL)
        backing->mappings++;
    pthread_mutex_unlock(&mutex);
    return backing;
}

/* The allocation goes when neither a handle nor a mapping is left. */
void ci_backing_let_go(struct ci_allocation *backing)
{
    if (backing == NULL)
        return;
    pthread_mutex_lock(&mutex);
    backing->mappings--;
    bool gone = backing->handles == 0 && backing->mappings == 0;
    pthread_mutex_unlock(&mutex);
    if (gone)
        ci_charge_drop(backing);
}

/* One handle more; where every one was released before, the number is a new name. */
static void add_handle(struct ci_allocation *backing, CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&mutex);
    if (backing->handles++ == 0) {
        backing->key = handle;
        ci_pointers_insert(backing);
    }
    pthread_mutex_unlock(&mutex);
}

/* One handle less, and the memory kept for the caller. The last one leaves the table before
 * the driver is asked, which may hand the number out again the moment it has released it. */
static struct ci_allocation *take_handle(CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&mutex);
    struct ci_allocation *backing = ci_pointers_find(CI_SPACE_HANDLE, handle);
    if (backing != NULL) {
        backing->mappings++;
        if (--backing->handles == 0)
            ci_pointers_take(CI_SPACE_HANDLE, handle);
    }
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
    struct ci_allocation *backing = take_handle(handle);
    CUresult result = real(handle);
    if (backing != NULL && result != CUDA_SUCCESS)
        add_handle(backing, handle);
    ci_backing_let_go(backing);
    return result;
}

/* The memory behind an address, kept by one more mapping. */
static struct ci_allocation *find_at_and_keep(CUdeviceptr address)
{
    struct ci_allocation *backing = NULL;
    pthread_mutex_lock(&mutex);
    size_t at = position(address);
    if (at < count && mappings[at].address <= address)
        backing = mappings[at].backing;
    if (backing != NULL)
        backing->mappings++;
    pthread_mutex_unlock(&mutex);
    return backing;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *addr)
{
    ci_pfn_cuMemRetainAllocationHandle real = CI_CALL(cuMemRetainAllocationHandle);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *backing = find_at_and_keep((uintptr_t)addr);
    CUresult result = real(handle, addr);
    if (backing != NULL && result == CUDA_SUCCESS)
        add_handle(backing, *handle);
    ci_backing_let_go(backing);
    return result;
}

static void drop_promise(void)
{
    pthread_mutex_lock(&mutex);
    promised--;
    pthread_mutex_unlock(&mutex);
}

static void add_mapping(struct mapping mapping)
{
    pthread_mutex_lock(&mutex);
    promised--;
    size_t at = position(mapping.address);
    memmove(&mappings[at + 1], &mappings[at], (count - at) * sizeof(*mappings));
    mappings[at] = mapping;
    count++;
    pthread_mutex_unlock(&mutex);
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    ci_pfn_cuMemMap real = CI_CALL(cuMemMap);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *backing = ci_backing_keep(handle);
    if (backing == NULL)
        return real(ptr, size, offset, handle, flags);
    if (!reserve_mapping()) {
        ci_backing_let_go(backing);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = real(ptr, size, offset, handle, flags);
    if (result == CUDA_SUCCESS)
        add_mapping((struct mapping){ptr, size, backing});
    if (result == CUDA_SUCCESS)
        return result;
    drop_promise();
    ci_backing_let_go(backing);
    return result;
}

/* Takes one mapping within the range out; NULL: there is none left. */
static struct ci_allocation *take_mapping(CUdeviceptr start, CUdeviceptr end)
{
    struct ci_allocation *backing = NULL;
    pthread_mutex_lock(&mutex);
    size_t at = position(start);
    if (at < count && mappings[at].address >= start && mappings[at].address < end) {
        backing = mappings[at].backing;
        count--;
        memmove(&mappings[at], &mappings[at + 1], (count - at) * sizeof(*mappings));
    }
    pthread_mutex_unlock(&mutex);
    return backing;
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
    ci_pfn_cuMemUnmap real = CI_CALL(cuMemUnmap);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUresult result = real(ptr, size);
    if (result != CUDA_SUCCESS)
        return result;
    /* One call may undo several mappings. A range that is mapped anew by another
     * thread before this is a race of the program's own. */
    for (struct ci_allocation *backing = take_mapping(ptr, ptr + size); backing != NULL;
         backing = take_mapping(ptr, ptr + size))
        ci_backing_let_go(backing);
    return result;
}
