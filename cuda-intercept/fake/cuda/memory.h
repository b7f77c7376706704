/* The allocations of this process. A device pointer is the address of lazily
 * committed host memory: what no program writes costs nothing. */
#ifndef FG_MEMORY_H
#define FG_MEMORY_H

#include "driver.h"

enum fg_kind {
    FG_DEVICE,
    FG_MANAGED,
    FG_ASYNC,
    FG_IMPORTED, /* another process' or API's: costs nothing here */
    FG_HOST,
    FG_REGISTERED,
};

struct fg_allocation {
    uintptr_t address;
    size_t bytes;           /* what the program asked for */
    uint64_t charged_bytes; /* what it costs on the device */
    size_t mapped_bytes;    /* 0: the memory is the program's */
    CUcontext context;
    CUmemoryPool pool; /* of a stream-ordered allocation that it counts in */
    enum fg_kind kind;
    unsigned flags;
    uint64_t id;
};

/* Makes an allocation of the current context. Fails as the driver does. */
CUresult fg_memory_allocate(enum fg_kind kind, size_t bytes, unsigned flags, CUdeviceptr *out);

/* The same out of a pool, which has been charged. */
CUresult fg_memory_allocate_pooled(CUmemoryPool pool, size_t bytes, CUdeviceptr *out);
void fg_pool_credit(CUmemoryPool pool, size_t bytes);

/* Frees the allocation that begins at the address. */
CUresult fg_memory_free(CUdeviceptr address);

/* Registers memory that the program has. */
CUresult fg_memory_register(void *address, size_t bytes, unsigned flags);

/* Copies out the allocation that holds the address; false: there is none. */
bool fg_memory_find(CUdeviceptr address, struct fg_allocation *out);

#endif
