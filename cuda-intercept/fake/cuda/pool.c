/* Stream-ordered allocation. Work on memory is done when it is queued, so an
 * allocation is there at once. A pool reserves whole chunks of the device and
 * keeps what is freed: until the next synchronization, and beyond it as much
 * as its threshold says. Either all that is free serves any request, or, where the
 * profile says so, none of it does. */
#include "pool.h"

#include "fault.h"
#include "memory.h"

#include <pthread.h>
#include <stdlib.h>

#define BLOCK_BYTES 512

static struct CUmemPoolHandle_st default_pools[FG_MAX_GPUS];
static struct CUmemPoolHandle_st managed_pools[FG_MAX_GPUS + 1]; /* the last one: for no device */
static CUmemoryPool chosen_pools[FG_MAX_GPUS]; /* NULL: the default */
static struct CUmemPoolHandle_st *pools;       /* all that were used or made */

/* Guards pools and their figures. Who finds no memory for a pool shrinks all. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static uint64_t chunk_bytes(void)
{
    uint64_t bytes = fg_machine()->profile.pool_chunk_bytes;
    return bytes ? bytes : FG_GRANULARITY;
}

static void enlist(CUmemoryPool pool, const struct fg_gpu *gpu, CUmemLocation location)
{
    pool->gpu = gpu;
    pool->location = location;
    pool->next = pools;
    pools = pool;
}

static CUmemoryPool default_pool(CUdevice device)
{
    CUmemoryPool pool = &default_pools[device];
    pthread_mutex_lock(&lock);
    if (!pool->gpu)
        enlist(pool, fg_device(device), (CUmemLocation){.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = device});
    pthread_mutex_unlock(&lock);
    return pool;
}

CUresult fg_pool_take(CUmemoryPool pool, uint64_t bytes)
{
    uint64_t used = pool->used + fg_round_up(bytes, BLOCK_BYTES);
    uint64_t wanted = fg_round_up(used, chunk_bytes());
    if (fg_machine()->profile.pool_in_pieces && pool->used)
        wanted = pool->reserved + fg_round_up(bytes, chunk_bytes());
    if (pool->imported)
        return CUDA_ERROR_INVALID_VALUE;
    if (pool->max_bytes && used > pool->max_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (wanted > pool->reserved) {
        if (!pool->on_host && !fg_occupy(pool->gpu, wanted - pool->reserved))
            return CUDA_ERROR_OUT_OF_MEMORY;
        pool->reserved = wanted;
    }
    pool->used = used;
    pool->used_high = used > pool->used_high ? used : pool->used_high;
    if (pool->reserved > pool->reserved_high)
        pool->reserved_high = pool->reserved;
    return CUDA_SUCCESS;
}

void fg_pool_put(CUmemoryPool pool, uint64_t bytes)
{
    pool->used -= fg_round_up(bytes, BLOCK_BYTES);
}

void fg_pool_trim(CUmemoryPool pool, uint64_t keep_bytes)
{
    if (keep_bytes >= pool->reserved)
        return;
    uint64_t kept = fg_round_up(pool->used > keep_bytes ? pool->used : keep_bytes, chunk_bytes());
    if (kept >= pool->reserved)
        return;
    if (!pool->on_host)
        fg_vacate(pool->gpu, pool->reserved - kept);
    pool->reserved = kept;
}

void fg_pool_credit(CUmemoryPool pool, size_t bytes)
{
    pthread_mutex_lock(&lock);
    fg_pool_put(pool, bytes);
    if (pool->destroyed)
        fg_pool_trim(pool, 0);
    pthread_mutex_unlock(&lock);
}

void fg_pools_settle(void)
{
    pthread_mutex_lock(&lock);
    for (CUmemoryPool pool = pools; pool; pool = pool->next)
        fg_pool_trim(pool, pool->release_threshold);
    pthread_mutex_unlock(&lock);
}

void fg_pools_shrink(const struct fg_gpu *gpu)
{
    pthread_mutex_lock(&lock);
    for (CUmemoryPool pool = pools; pool; pool = pool->next)
        if (pool->gpu == gpu)
            fg_pool_trim(pool, 0);
    pthread_mutex_unlock(&lock);
}

static CUresult get_pool(CUmemoryPool *out, CUdevice device, bool chosen)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!fg_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = chosen && chosen_pools[device] ? chosen_pools[device] : default_pool(device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *out, CUdevice device)
{
    return get_pool(out, device, false);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *out, CUdevice device)
{
    return get_pool(out, device, true);
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
    CUmemoryPool known;
    CUresult result = get_pool(&known, device, false);
    if (result != CUDA_SUCCESS)
        return result;
    if (!pool || pool->gpu != fg_device(device))
        return CUDA_ERROR_INVALID_VALUE;
    chosen_pools[device] = pool;
    return CUDA_SUCCESS;
}

/* The first of all devices holds what is managed and prefers none. */
static const struct fg_gpu *gpu_of(const CUmemLocation *location)
{
    return fg_device(location->type == CU_MEM_LOCATION_TYPE_DEVICE ? location->id : 0);
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *out, CUmemLocation *location, CUmemAllocationType type)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    bool on_device = location && location->type == CU_MEM_LOCATION_TYPE_DEVICE;
    if (on_device && type == CU_MEM_ALLOCATION_TYPE_PINNED)
        return get_pool(out, location->id, false);
    if (!out || !location || type != CU_MEM_ALLOCATION_TYPE_MANAGED || !gpu_of(location))
        return CUDA_ERROR_INVALID_VALUE;
    CUmemoryPool pool = &managed_pools[on_device ? location->id : FG_MAX_GPUS];
    pthread_mutex_lock(&lock);
    if (!pool->gpu)
        enlist(pool, gpu_of(location), *location);
    pool->managed = true;
    pthread_mutex_unlock(&lock);
    *out = pool;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool *out, const CUmemPoolProps *properties)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !properties)
        return CUDA_ERROR_INVALID_VALUE;
    bool managed = properties->allocType == CU_MEM_ALLOCATION_TYPE_MANAGED;
    if (!managed && properties->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    const struct fg_gpu *gpu = gpu_of(&properties->location);
    if (!gpu)
        return CUDA_ERROR_INVALID_DEVICE;
    CUmemoryPool pool = calloc(1, sizeof *pool);
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pool->managed = managed;
    pool->on_host = !managed && properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE;
    pool->max_bytes = properties->maxSize;
    pthread_mutex_lock(&lock);
    enlist(pool, gpu, properties->location);
    pthread_mutex_unlock(&lock);
    *out = pool;
    return CUDA_SUCCESS;
}

/* The memory of a destroyed pool stays until its last allocation is freed; the
 * handle stays too, for those. */
static CUresult destroy(CUmemoryPool pool)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FG_MAX_GPUS; i++)
        if (chosen_pools[i] == pool)
            chosen_pools[i] = NULL;
    pool->destroyed = true;
    pool->release_threshold = 0;
    fg_pool_trim(pool, 0);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    if (!pool || (pool >= default_pools && pool < default_pools + FG_MAX_GPUS) || pool->destroyed)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemPoolDestroy", destroy(pool));
}

static CUresult trim(CUmemoryPool pool, size_t bytes)
{
    pthread_mutex_lock(&lock);
    fg_pool_trim(pool, bytes);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t bytes)
{
    return pool ? FG_FAULTY("cuMemPoolTrimTo", trim(pool, bytes)) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute name, void *value)
{
    if (!pool || !value)
        return CUDA_ERROR_INVALID_VALUE;
    if (name == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        pool->release_threshold = *(cuuint64_t *)value;
    else if (name == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)
        pool->reserved_high = pool->reserved;
    else if (name == CU_MEMPOOL_ATTR_USED_MEM_HIGH)
        pool->used_high = pool->used;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute name, void *value)
{
    if (!pool || !value)
        return CUDA_ERROR_INVALID_VALUE;
    if (pool->destroyed)
        abort(); /* who asks does not know what a driver has put there since */
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
        *(cuuint64_t *)value = pool->imported ? chunk_bytes() : pool->reserved; /* its owner holds something */
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        *(cuuint64_t *)value = pool->reserved_high;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(cuuint64_t *)value = pool->used;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(cuuint64_t *)value = pool->used_high;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_ALLOCATION_TYPE:
        *(int *)value = pool->managed ? CU_MEM_ALLOCATION_TYPE_MANAGED : CU_MEM_ALLOCATION_TYPE_PINNED;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_LOCATION_ID:
        *(int *)value = pool->location.id;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_LOCATION_TYPE:
        *(int *)value = (int)pool->location.type;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

static CUresult allocate(CUdeviceptr *out, size_t bytes, CUmemoryPool pool)
{
    if (!out || !bytes || pool->destroyed)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > (size_t)1 << 47)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&lock);
    CUresult result = fg_pool_take(pool, bytes);
    pthread_mutex_unlock(&lock);
    if (result != CUDA_SUCCESS)
        return result;
    result = fg_memory_allocate_pooled(pool, bytes, out);
    if (result != CUDA_SUCCESS)
        fg_pool_credit(pool, bytes);
    return result;
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t bytes, CUmemoryPool pool, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemAllocAsync", allocate(out, bytes, pool));
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *out, size_t bytes, CUmemoryPool pool,
                                      CUstream handle)
{
    return cuMemAllocFromPoolAsync(out, bytes, pool, fg_per_thread(handle));
}

CUresult cuMemAllocAsync(CUdeviceptr *out, size_t bytes, CUstream handle)
{
    CUresult result;
    CUmemoryPool pool = NULL;
    CUstream stream = fg_stream(handle, &result);
    if (stream)
        result = get_pool(&pool, stream->context->ordinal, true);
    return pool ? cuMemAllocFromPoolAsync(out, bytes, pool, handle) : result;
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *out, size_t bytes, CUstream handle)
{
    return cuMemAllocAsync(out, bytes, fg_per_thread(handle));
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    if (!address)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemFreeAsync", fg_memory_free(address));
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr address, CUstream handle)
{
    return cuMemFreeAsync(address, fg_per_thread(handle));
}
