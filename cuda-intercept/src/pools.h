/* What pools of stream-ordered memory, and the graphs of a GPU together, hold of
 * the device: charged by what the driver says that they reserve. */
#ifndef CI_POOLS_H
#define CI_POOLS_H

#include "ledger.h"

/* Growing a pool. Between begin and end or cancel the calling thread holds the
 * lock of all pools, so that the driver's figure can be told apart by pool. */
struct ci_growth {
    struct ci_config *config;
    struct ci_pool *pool; /* NULL: nothing is charged for it */
    uint64_t bytes;
    uint64_t held; /* by the pool, before */
    unsigned int trims; /* of graphs: how often all were trimmed, from 1 */
};

/* CUDA_SUCCESS, with room for `bytes` more in the pool, or OUT_OF_MEMORY. */
CUresult ci_pool_begin(struct ci_growth *growth, CUmemoryPool pool, CUstream stream, uint64_t bytes);
/* A graph keeps what it had when it last ran, unless all were trimmed since: `trims` was that
 * growth's; 0: it has not run. One that keeps it grows no pool, and no lock is held: a launch may
 * wait for other GPUs. Where there is no room, graphs that do not run are trimmed. */
CUresult ci_graph_begin(struct ci_growth *growth, CUdevice ordinal, uint64_t bytes, unsigned int trims);

/* Charges what the driver reserved; false: it does not fit, and the caller gives
 * the memory back and ends with cancel. */
bool ci_growth_fits(struct ci_growth *growth);
void ci_growth_end(struct ci_growth *growth);
void ci_growth_cancel(struct ci_growth *growth);

/* A pool that the program made or got; its memory is charged, or the owner's. */
void ci_pool_add(CUmemoryPool pool, CUdevice ordinal, bool is_charged);

/* Around the call that frees memory of a pool: what the driver says in between may be of before or after. */
void ci_pool_begin_put(struct ci_pool *pool, uint64_t bytes);
void ci_pool_end_put(struct ci_pool *pool, uint64_t bytes, bool is_freed);

/* The pool gave something back. */
void ci_pool_settle(CUmemoryPool pool);

/* Around the call that destroys a pool, from which on the driver is not asked about it, and after
 * which it is gone but for what is still in use. */
struct ci_pool *ci_pool_begin_destroy(CUmemoryPool pool);
void ci_pool_end_destroy(struct ci_pool *pool, bool is_destroyed);

void ci_graph_settle(CUdevice ordinal);
/* Asks the driver for it. */
CUresult ci_graph_trim(CUdevice ordinal);

/* After a synchronization: all pools give back what they do not keep. */
void ci_pools_settle(void);

/* Trims all pools of the GPU; true if anything came back. */
bool ci_pools_shrink(const struct ci_device *device);

/* Forgets everything, in a child that was forked. */
void ci_pools_reset(void);

#endif
