#include "memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* All allocations by rising address. Guarded by the lock. */
static struct fg_allocation *table;
static size_t count, capacity;
static uint64_t next_id = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t fg_round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

bool fg_occupy(const struct fg_gpu *gpu, uint64_t bytes)
{
    unsigned number = fg_machine_number(gpu);
    uint64_t capacity_bytes = fg_capacity_bytes(gpu);
    if (!bytes || fg_state_charge(number, bytes, capacity_bytes))
        return true;
    fg_pools_shrink(gpu);
    return fg_state_charge(number, bytes, capacity_bytes);
}

void fg_vacate(const struct fg_gpu *gpu, uint64_t bytes)
{
    if (bytes)
        fg_state_credit(fg_machine_number(gpu), bytes);
}

/* The index of the last allocation that begins at or before the address. */
static size_t position(uintptr_t address)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low; /* one past it */
}

static bool insert(const struct fg_allocation *allocation)
{
    bool done = false;
    pthread_mutex_lock(&lock);
    if (count == capacity) {
        size_t larger = capacity ? capacity * 2 : 64;
        struct fg_allocation *moved = realloc(table, larger * sizeof *table);
        if (moved) {
            table = moved;
            capacity = larger;
        }
    }
    if (count < capacity) {
        size_t at = position(allocation->address);
        memmove(&table[at + 1], &table[at], (count - at) * sizeof *table);
        table[at] = *allocation;
        table[at].id = next_id++;
        count++;
        done = true;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

static bool remove_at(uintptr_t address, struct fg_allocation *out)
{
    pthread_mutex_lock(&lock);
    size_t at = position(address);
    bool found = at && table[at - 1].address == address;
    if (found) {
        *out = table[at - 1];
        memmove(&table[at - 1], &table[at], (count - at) * sizeof *table);
        count--;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

bool fg_memory_find(CUdeviceptr address, struct fg_allocation *out)
{
    pthread_mutex_lock(&lock);
    size_t at = position((uintptr_t)address);
    bool found = at && address - table[at - 1].address < table[at - 1].bytes;
    if (found)
        *out = table[at - 1];
    pthread_mutex_unlock(&lock);
    return found;
}

static bool occupies_device(enum fg_kind kind)
{
    return kind == FG_DEVICE || kind == FG_MANAGED; /* a pool is charged as a whole */
}

/* Managed memory that does not fit stays on the host, where it costs nothing. */
static CUresult charge(struct fg_allocation *allocation)
{
    if (!occupies_device(allocation->kind))
        return CUDA_SUCCESS;
    CUcontext context = allocation->context;
    uint64_t cost = fg_round_up(allocation->bytes, FG_GRANULARITY);
    if (fg_occupy(context->gpu, cost))
        allocation->charged_bytes = cost;
    else if (allocation->kind != FG_MANAGED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return CUDA_SUCCESS;
}

static void give_back(const struct fg_allocation *allocation)
{
    if (allocation->mapped_bytes)
        munmap((void *)allocation->address, allocation->mapped_bytes);
    fg_vacate(allocation->context->gpu, allocation->charged_bytes);
    if (allocation->pool)
        fg_pool_credit(allocation->pool, allocation->bytes);
}

static CUresult back(struct fg_allocation *allocation)
{
    size_t bytes = fg_round_up(allocation->bytes, 4096);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    allocation->address = (uintptr_t)memory;
    allocation->mapped_bytes = bytes;
    return CUDA_SUCCESS;
}

static CUresult allocate(struct fg_allocation allocation, CUdeviceptr *out)
{
    CUresult result;
    allocation.context = fg_current(&result);
    if (!allocation.context)
        return result;
    if (!out || !allocation.bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (allocation.bytes > (size_t)1 << 47)
        return CUDA_ERROR_OUT_OF_MEMORY;
    result = charge(&allocation);
    if (result == CUDA_SUCCESS)
        result = back(&allocation);
    if (result == CUDA_SUCCESS && !insert(&allocation))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_SUCCESS)
        *out = allocation.address;
    else
        give_back(&allocation);
    return result;
}

CUresult fg_memory_allocate(enum fg_kind kind, size_t bytes, unsigned flags, CUdeviceptr *out)
{
    return allocate((struct fg_allocation){.bytes = bytes, .kind = kind, .flags = flags}, out);
}

CUresult fg_memory_allocate_pooled(CUmemoryPool pool, size_t bytes, CUdeviceptr *out)
{
    return allocate((struct fg_allocation){.bytes = bytes, .kind = FG_ASYNC, .pool = pool}, out);
}

CUresult fg_memory_register(void *address, size_t bytes, unsigned flags)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!address || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    struct fg_allocation there, allocation = {
        .address = (uintptr_t)address, .bytes = bytes, .context = context,
        .kind = FG_REGISTERED, .flags = flags};
    if (fg_memory_find(allocation.address, &there))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return insert(&allocation) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult fg_memory_free(CUdeviceptr address)
{
    struct fg_allocation allocation;
    if (!remove_at((uintptr_t)address, &allocation))
        return CUDA_ERROR_INVALID_VALUE;
    give_back(&allocation);
    return CUDA_SUCCESS;
}

/* What came from a pool belongs to the device, not to a context. */
void fg_memory_release(CUcontext context)
{
    pthread_mutex_lock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (table[i].context == context && !table[i].pool)
            give_back(&table[i]);
        else
            table[kept++] = table[i];
    }
    count = kept;
    pthread_mutex_unlock(&lock);
}
