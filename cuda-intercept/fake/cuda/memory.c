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

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
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

uint64_t fg_memory_held_bytes(unsigned gpu, enum fg_kind kind)
{
    uint64_t held = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        if (table[i].kind == kind && table[i].context->number == gpu)
            held += table[i].charged_bytes;
    pthread_mutex_unlock(&lock);
    return held;
}

static bool occupies_device(enum fg_kind kind)
{
    return kind == FG_DEVICE || kind == FG_ASYNC || kind == FG_MANAGED;
}

/* Managed memory that does not fit stays on the host, where it costs nothing. */
static CUresult charge(struct fg_allocation *allocation)
{
    if (!occupies_device(allocation->kind))
        return CUDA_SUCCESS;
    CUcontext context = allocation->context;
    uint64_t cost = round_up(allocation->bytes, FG_GRANULARITY);
    if (fg_state_charge(context->number, cost, fg_capacity_bytes(context->gpu)))
        allocation->charged_bytes = cost;
    else if (allocation->kind != FG_MANAGED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return CUDA_SUCCESS;
}

static void give_back(const struct fg_allocation *allocation)
{
    if (allocation->mapped_bytes)
        munmap((void *)allocation->address, allocation->mapped_bytes);
    if (allocation->charged_bytes)
        fg_state_credit(allocation->context->number, allocation->charged_bytes);
}

static CUresult back(struct fg_allocation *allocation)
{
    size_t bytes = round_up(allocation->bytes, 4096);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    allocation->address = (uintptr_t)memory;
    allocation->mapped_bytes = bytes;
    return CUDA_SUCCESS;
}

CUresult fg_memory_allocate(enum fg_kind kind, size_t bytes, unsigned flags, CUdeviceptr *out)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!out || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > (size_t)1 << 47)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct fg_allocation allocation = {
        .bytes = bytes, .context = context, .kind = kind, .flags = flags};
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

void fg_memory_release(CUcontext context)
{
    pthread_mutex_lock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (table[i].context == context)
            give_back(&table[i]);
        else
            table[kept++] = table[i];
    }
    count = kept;
    pthread_mutex_unlock(&lock);
}
