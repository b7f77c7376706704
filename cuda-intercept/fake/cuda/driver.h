/* What the parts of the fake libcuda share. Functions of cuda.h are exported;
 * everything else is hidden and starts with fg_. */
#ifndef FG_DRIVER_H
#define FG_DRIVER_H

/* Without this, cuda.h renames cuMemAlloc to cuMemAlloc_v2 and hides the old. */
#define __CUDA_API_VERSION_INTERNAL

#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#include "../device/machine.h"
#include "../device/queue.h"
#include "../device/state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FG_GRANULARITY ((uint64_t)2 << 20)

/* A mark that only moves on, whichever threads move it. */
struct fg_tail {
    _Atomic uint64_t work_ns;
    _Atomic uint64_t entries;
};

struct fg_capture;

struct CUstream_st {
    CUcontext context;
    unsigned flags;
    int priority;
    uint64_t id;
    bool legacy;
    struct fg_tail tail; /* of everything queued so far */
    struct fg_capture *capture; /* may have ended; see fg_captured */
};

/* Kinds of memory that a context comes to take beyond its own. */
enum fg_growth { FG_LOCAL, FG_FIFO, FG_HEAP, FG_GROWTHS };

struct CUctx_st {
    const struct fg_gpu *gpu;
    unsigned number; /* of the GPU in the shared state */
    CUdevice ordinal;
    CUcontext next; /* made before it; of those that are not primary */
    unsigned flags;
    _Atomic unsigned retained; /* by those who hold a primary context or are attached to another; 0: it is gone */
    bool primary;
    CUcontext whole; /* of a green one: the primary context, which does all for it; else NULL */
    uint64_t id;
    uint64_t charged_bytes;
    uint64_t growths[FG_GROWTHS]; /* bytes */
    uint32_t channel; /* on the simulated device */
    struct fg_tail tail;          /* of all streams */
    struct fg_tail blocking_tail; /* of those that the legacy stream waits for */
    CUevent holders[FG_ENTRIES];  /* of the channel's latest events, or NULL */
    struct CUstream_st legacy;
    struct CUstream_st per_thread; /* one for all threads: order is not simulated finer */
};

/* CUDA_SUCCESS once cuInit has worked in this process (not in its parent). */
CUresult fg_ready(void);
const struct fg_machine *fg_machine(void); /* after fg_ready */

unsigned fg_device_count(void);
const struct fg_gpu *fg_device(CUdevice ordinal); /* NULL: no such ordinal */
uint64_t fg_capacity_bytes(const struct fg_gpu *gpu);

/* The calling thread's context, or NULL with *result set. */
CUcontext fg_current(CUresult *result);
/* For each context that there is, until a visit fails. */
CUresult fg_contexts_visit(CUresult (*visit)(void *argument, CUcontext context), void *argument);

/* The stream behind a handle, the special ones included, or NULL with *result. */
CUstream fg_stream(CUstream handle, CUresult *result);
/* What a NULL stream means in a _ptsz function. */
CUstream fg_per_thread(CUstream handle);
/* What work put into the stream now comes after, and how far it reaches. */
struct fg_mark fg_stream_start(CUstream stream);
void fg_stream_extend(CUstream stream, struct fg_mark mark);
void fg_stream_wait(CUstream stream);
void fg_context_wait(CUcontext context);

/* Runs `function` on a thread of the driver once `channel` has come to `mark`,
 * then opens the gate of the other channel. */
CUresult fg_host_call(uint32_t channel, struct fg_mark mark, CUhostFn function, void *data,
                      uint32_t gate_channel, struct fg_mark gate);

/* Takes memory of a GPU for this process; what its pools hold and do not use
 * is given up before the call fails. */
bool fg_occupy(const struct fg_gpu *gpu, uint64_t bytes);
void fg_vacate(const struct fg_gpu *gpu, uint64_t bytes);
uint64_t fg_round_up(uint64_t bytes, uint64_t unit);

/* Frees whatever a context holds. */
void fg_memory_release(CUcontext context);
void fg_arrays_release(CUcontext context);
void fg_modules_release(CUcontext context);
/* A new context gets what was loaded eagerly. */
CUresult fg_modules_enter(CUcontext context);
void fg_growths_release(CUcontext context);

/* Memory of cuMemCreate that a sparse array holds; what arrays that are gone held. */
void fg_physical_keep(CUmemGenericAllocationHandle handle);
void fg_physical_let_go(CUmemGenericAllocationHandle handle);
void fg_sparse_forget(const void *array);

/* Pools give back what they hold beyond their threshold, as at every
 * synchronization, or all that nobody uses. */
void fg_pools_settle(void);
void fg_pools_shrink(const struct fg_gpu *gpu);

#endif
