#define _GNU_SOURCE
#include "pools.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "../include/share_env.h"
#include "charging.h"
#include "chunks.h"
#include "cuda_device.h"
#include "process.h"
#include "relaxed.h"
#include "resolve.h"

#define BLOCK_BYTES 512
#define CHUNK_BYTES ((uint64_t)32 << 20) /* what drivers keep of a pool that is gone but still in use */

enum pool_kind { POOL_OF_STREAMS, POOL_OF_GRAPHS };

struct ci_pool {
    struct ci_pool *next;
    enum pool_kind kind;
    CUmemoryPool handle; /* of streams */
    struct ci_device device;
    bool is_charged;
    bool destroyed;        /* the driver may not be asked about it any more */
    struct ci_charge charge;
    uint64_t used;            /* of streams: what was asked for and is not freed */
    _Atomic uint64_t leaving; /* of it, what is just being freed, and may be back with the driver already */
    size_t count;             /* allocations that name the pool */
    unsigned int trims;       /* of graphs: rises when they may have lost what they had */
};

/* The mutex guards the list and all in it, and is held over driver calls that
 * change what a pool reserves; a thread may take it again within. */
static struct ci_pool *pools;
static pthread_mutex_t mutex;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool any; /* spares programs without pools the rest */

static void make_mutex(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void lock(void)
{
    pthread_once(&once, make_mutex);
    pthread_mutex_lock(&mutex);
}

void ci_pools_reset(void)
{
    pthread_once(&once, make_mutex);
    if (!atomic_load(&any))
        return;
    make_mutex(); /* it may be held by a thread that the child does not have */
    pools = NULL;
    atomic_store(&any, false);
}

static uint64_t round_up(uint64_t bytes)
{
    return bytes > UINT64_MAX - BLOCK_BYTES ? bytes : (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

static struct ci_pool *add_pool(enum pool_kind kind, CUmemoryPool handle, struct ci_device device, bool is_charged)
{
    struct ci_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return NULL;
    pool->kind = kind;
    pool->handle = handle;
    pool->device = device;
    pool->is_charged = is_charged && device.access == CI_ACCESS_SHARED;
    pool->trims = 1;
    pool->charge.kind = kind == POOL_OF_GRAPHS ? HAMI_TOTAL_GRAPH : HAMI_TOTAL_POOL;
    pool->next = pools;
    pools = pool;
    atomic_store(&any, true);
    return pool;
}

static struct ci_pool *find_pool(CUmemoryPool handle)
{
    struct ci_pool *pool = pools;
    while (pool != NULL && (pool->kind != POOL_OF_STREAMS || pool->handle != handle || pool->destroyed))
        pool = pool->next;
    return pool;
}

static struct ci_pool *find_graphs(CUdevice ordinal)
{
    struct ci_pool *pool = pools;
    while (pool != NULL && (pool->kind != POOL_OF_GRAPHS || pool->device.ordinal != ordinal))
        pool = pool->next;
    return pool;
}

/* What the driver says that the pool holds; what is in use where it says nothing. */
static uint64_t read_reserved(const struct ci_pool *pool)
{
    ci_pfn_cuMemPoolGetAttribute of_pool = CI_CALL(cuMemPoolGetAttribute);
    ci_pfn_cuDeviceGetGraphMemAttribute of_graphs = CI_CALL(cuDeviceGetGraphMemAttribute);
    uint64_t bytes = 0;
    if (pool->destroyed) {
        uint64_t held = ci_charge_bytes(&pool->charge);
        uint64_t chunks = (pool->used + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
        return chunks < held ? chunks : held;
    }
    if (pool->kind == POOL_OF_STREAMS && of_pool != NULL &&
        of_pool(pool->handle, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &bytes) == CUDA_SUCCESS)
        return bytes;
    if (pool->kind == POOL_OF_GRAPHS && of_graphs != NULL &&
        of_graphs(pool->device.ordinal, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, &bytes) == CUDA_SUCCESS)
        return bytes;
    return pool->used;
}

/* What the driver holds is a fact: it is charged even where it does not fit. */
static void settle(struct ci_config *config, struct ci_pool *pool)
{
    if (!pool->is_charged || config == NULL)
        return;
    uint64_t reserved = read_reserved(pool);
    uint64_t most = reserved + atomic_load(&pool->leaving);
    if (pool->used > most)
        pool->used = most; /* some of it was freed in ways that we do not see */
    ci_charge_force(config, &pool->device, &pool->charge, reserved);
}

static void remove_if_empty(struct ci_pool *pool)
{
    if (!pool->destroyed || pool->count > 0)
        return;
    struct ci_pool **link = &pools;
    while (*link != pool)
        link = &(*link)->next;
    *link = pool->next;
    free(pool);
}

/* All pools of the GPU but one. */
static bool shrink_all(struct ci_config *config, const struct ci_device *device, const struct ci_pool *but)
{
    ci_pfn_cuMemPoolTrimTo trim = CI_CALL(cuMemPoolTrimTo);
    bool any_came_back = false;
    for (struct ci_pool *pool = pools; pool != NULL; pool = pool->next) {
        uint64_t held = ci_charge_bytes(&pool->charge);
        if (pool == but || !pool->is_charged || pool->destroyed || pool->device.ordinal != device->ordinal || held == 0)
            continue;
        if (pool->kind == POOL_OF_STREAMS && trim != NULL && held > pool->used)
            trim(pool->handle, 0);
        settle(config, pool);
        any_came_back = any_came_back || ci_charge_bytes(&pool->charge) < held;
    }
    return any_came_back;
}

bool ci_pools_shrink(const struct ci_device *device)
{
    if (!atomic_load(&any))
        return false;
    lock();
    bool came_back = shrink_all(ci_config_get(), device, NULL);
    pthread_mutex_unlock(&mutex);
    return came_back;
}

/* Charges the least that the pool grows by until it holds `wanted` bytes. */
static bool grow(struct ci_config *config, struct ci_pool *pool, uint64_t wanted)
{
    uint64_t held = ci_charge_bytes(&pool->charge);
    return wanted <= held ||
           ci_charge_set(config, &pool->device, &pool->charge, held + ci_chunk_round(wanted - held));
}

/* Room for `bytes` beyond what is in use, as far as the pool does not hold it yet,
 * and for all that the driver may take for it: what it holds may be in pieces. */
static CUresult make_room(struct ci_growth *growth, struct ci_pool *pool, uint64_t used, uint64_t bytes)
{
    uint64_t wanted;
    uint64_t most;
    *growth = (struct ci_growth){.config = growth->config, .bytes = bytes};
    if (pool == NULL || __builtin_add_overflow(used, bytes, &wanted))
        return CUDA_ERROR_OUT_OF_MEMORY;
    growth->held = ci_charge_bytes(&pool->charge);
    if (!pool->is_charged || wanted <= growth->held) {
        growth->pool = pool;
        return CUDA_SUCCESS;
    }
    bool fits = !__builtin_add_overflow(growth->held, ci_chunk_round(bytes), &most) &&
                ci_charge_set(growth->config, &pool->device, &pool->charge, most);
    fits = fits || grow(growth->config, pool, wanted);
    if (!fits && shrink_all(growth->config, &pool->device, NULL))
        fits = grow(growth->config, pool, wanted);
    if (!fits)
        return CUDA_ERROR_OUT_OF_MEMORY;
    growth->pool = pool;
    growth->held = read_reserved(pool);
    return CUDA_SUCCESS;
}

CUresult ci_pool_begin(struct ci_growth *growth, CUmemoryPool handle, CUstream stream, uint64_t bytes)
{
    *growth = (struct ci_growth){.config = ci_process_join()};
    if (growth->config == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    lock();
    struct ci_pool *pool = find_pool(handle);
    if (pool == NULL) {
        struct ci_device device = ci_device_of_pool(growth->config, handle, stream);
        pool = add_pool(POOL_OF_STREAMS, handle, device, true);
    }
    bool closed = pool != NULL && pool->device.access == CI_ACCESS_CLOSED;
    CUresult result = closed ? CUDA_ERROR_OUT_OF_MEMORY
                             : make_room(growth, pool, pool == NULL ? 0 : pool->used, round_up(bytes));
    if (result != CUDA_SUCCESS)
        pthread_mutex_unlock(&mutex);
    return result;
}

/* By the driver's documentation: what graphs have mapped, whether they run or not. */
static uint64_t used_by_graphs(CUdevice ordinal)
{
    ci_pfn_cuDeviceGetGraphMemAttribute ask = CI_CALL(cuDeviceGetGraphMemAttribute);
    uint64_t used = 0;
    if (ask != NULL)
        ask(ordinal, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &used);
    return used;
}

static CUresult trim_graphs(struct ci_config *config, CUdevice ordinal, struct ci_pool *pool)
{
    ci_pfn_cuDeviceGraphMemTrim real = CI_CALL(cuDeviceGraphMemTrim);
    CUresult result = real == NULL ? CUDA_ERROR_NO_DEVICE : real(ordinal);
    if (pool != NULL) {
        pool->trims++;
        settle(config, pool);
    }
    return result;
}

static CUresult make_room_for_graph(struct ci_growth *growth, struct ci_pool *pool, CUdevice ordinal, uint64_t bytes)
{
    CUresult result = make_room(growth, pool, used_by_graphs(ordinal), bytes);
    if (result == CUDA_SUCCESS || pool == NULL || ci_charge_bytes(&pool->charge) == 0)
        return result;
    struct ci_relaxed relaxed = ci_relax();
    trim_graphs(growth->config, ordinal, pool);
    ci_relax_end(relaxed);
    return make_room(growth, pool, used_by_graphs(ordinal), bytes);
}

CUresult ci_graph_begin(struct ci_growth *growth, CUdevice ordinal, uint64_t bytes, unsigned int trims)
{
    *growth = (struct ci_growth){.config = ci_process_join()};
    if (growth->config == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    lock();
    struct ci_pool *pool = find_graphs(ordinal);
    if (pool == NULL)
        pool = add_pool(POOL_OF_GRAPHS, NULL, ci_device_of_ordinal(growth->config, ordinal), true);
    bool has_it = pool != NULL && pool->trims == trims;
    CUresult result = has_it ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    if (!has_it && pool != NULL && pool->device.access != CI_ACCESS_CLOSED)
        result = make_room_for_graph(growth, pool, ordinal, round_up(bytes));
    growth->trims = result == CUDA_SUCCESS ? pool->trims : 0;
    if (growth->pool == NULL)
        pthread_mutex_unlock(&mutex);
    return result;
}

CUresult ci_graph_trim(CUdevice ordinal)
{
    lock();
    CUresult result = trim_graphs(ci_config_get(), ordinal, find_graphs(ordinal));
    pthread_mutex_unlock(&mutex);
    return result;
}

bool ci_growth_fits(struct ci_growth *growth)
{
    struct ci_pool *pool = growth->pool;
    if (!pool->is_charged)
        return true;
    uint64_t reserved = read_reserved(pool);
    if (reserved > growth->held && pool->kind == POOL_OF_STREAMS)
        ci_chunk_learn(growth->bytes, reserved - growth->held);
    return ci_charge_set(growth->config, &pool->device, &pool->charge, reserved) ||
           (shrink_all(growth->config, &pool->device, pool) &&
            ci_charge_set(growth->config, &pool->device, &pool->charge, reserved));
}

void ci_growth_end(struct ci_growth *growth)
{
    if (growth->pool->kind == POOL_OF_STREAMS) {
        growth->pool->used += growth->bytes;
        growth->pool->count++;
    }
    pthread_mutex_unlock(&mutex);
}

void ci_growth_cancel(struct ci_growth *growth)
{
    if (growth->pool == NULL)
        return;
    settle(growth->config, growth->pool);
    pthread_mutex_unlock(&mutex);
}

void ci_pool_add(CUmemoryPool handle, CUdevice ordinal, bool is_charged)
{
    struct ci_config *config = ci_process_join();
    if (config == NULL)
        return;
    lock();
    if (find_pool(handle) == NULL)
        add_pool(POOL_OF_STREAMS, handle, ci_device_of_ordinal(config, ordinal), is_charged);
    pthread_mutex_unlock(&mutex);
}

void ci_pool_begin_put(struct ci_pool *pool, uint64_t bytes)
{
    atomic_fetch_add(&pool->leaving, bytes);
}

void ci_pool_end_put(struct ci_pool *pool, uint64_t bytes, bool is_freed)
{
    lock();
    atomic_fetch_sub(&pool->leaving, bytes);
    if (is_freed) {
        pool->used -= bytes < pool->used ? bytes : pool->used;
        pool->count--;
    }
    if (pool->destroyed)
        settle(ci_config_get(), pool);
    remove_if_empty(pool);
    pthread_mutex_unlock(&mutex);
}

void ci_pool_settle(CUmemoryPool handle)
{
    lock();
    struct ci_pool *pool = find_pool(handle);
    if (pool != NULL)
        settle(ci_config_get(), pool);
    pthread_mutex_unlock(&mutex);
}

struct ci_pool *ci_pool_begin_destroy(CUmemoryPool handle)
{
    lock();
    struct ci_pool *pool = find_pool(handle);
    if (pool != NULL) {
        pool->destroyed = true;
        pool->count++; /* else it would go with the last allocation, which another thread may free */
    }
    pthread_mutex_unlock(&mutex);
    return pool;
}

void ci_pool_end_destroy(struct ci_pool *pool, bool is_destroyed)
{
    if (pool == NULL)
        return;
    lock();
    pool->destroyed = is_destroyed;
    pool->count--;
    settle(ci_config_get(), pool);
    remove_if_empty(pool);
    pthread_mutex_unlock(&mutex);
}

void ci_graph_settle(CUdevice ordinal)
{
    if (!atomic_load(&any))
        return;
    lock();
    struct ci_pool *pool = find_graphs(ordinal);
    if (pool != NULL)
        settle(ci_config_get(), pool);
    pthread_mutex_unlock(&mutex);
}

void ci_pools_settle(void)
{
    if (!atomic_load_explicit(&any, memory_order_relaxed))
        return;
    lock();
    for (struct ci_pool *pool = pools; pool != NULL; pool = pool->next)
        if (pool->kind == POOL_OF_STREAMS && !pool->destroyed && ci_charge_bytes(&pool->charge) > pool->used)
            settle(ci_config_get(), pool);
    pthread_mutex_unlock(&mutex);
}
