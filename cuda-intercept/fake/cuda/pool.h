/* A pool of device memory, for streams and for graphs. */
#ifndef FG_POOL_H
#define FG_POOL_H

#include "driver.h"

struct CUmemPoolHandle_st {
    const struct fg_gpu *gpu; /* NULL: not used yet */
    CUmemLocation location;
    bool on_host;             /* costs no device memory */
    bool managed;             /* wherever it prefers to be, it may come to the device */
    bool imported;            /* its memory is another process' */
    bool destroyed;
    uint64_t max_bytes; /* 0: no limit of its own */
    cuuint64_t release_threshold;
    uint64_t reserved, reserved_high;
    uint64_t used, used_high;
    CUmemoryPool next;
};

/* For callers who exclude others: changes of what is used, and giving back
 * what is reserved beyond both what is used and `keep_bytes`. */
CUresult fg_pool_take(CUmemoryPool pool, uint64_t bytes);
void fg_pool_put(CUmemoryPool pool, uint64_t bytes);
void fg_pool_trim(CUmemoryPool pool, uint64_t keep_bytes);

#endif
