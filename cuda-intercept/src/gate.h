/*
 * Holds launches back so that a share keeps to its part of the GPU's time.
 *
 * Most launches pass by what their thread remembers: what this launch cost
 * lately, and how much budget the thread took ahead. No clock, no shared line.
 */
#ifndef CI_GATE_H
#define CI_GATE_H

#include "abi.h"
#include "generated/hooks.h"
#include "handles.h"
#include "lane.h"

struct ci_sample;

/* One launch on its way: filled in by the generated hook. */
struct ci_launch {
    CUstream stream;
    const void *work; /* the function or graph, whose cost is remembered */
    uint64_t threads; /* of its grid; 0: not told */
    bool per_thread;  /* the default stream is the thread's own */
    bool is_graph;

    /* between enter and leave */
    struct ci_purse *purse; /* that paid, or NULL */
    int64_t cost_ns;
    uint64_t busy_until_ns; /* as the ledger was told; 0: it was not */
    uint64_t age; /* of the handles by then */
    struct ci_sample *sample;
    bool is_part;       /* of a launch on several GPUs: it is measured once all of them are paid */
    bool is_to_measure; /* then */
};

/* Whether launches are held back; set before any launch is handed on. */
extern _Atomic int ci_gate_is_on;

/* Streams under capture, more or less; while there are any, each launch asks. */
extern _Atomic int ci_captures;

/* The driver's own function, or NULL; `known` keeps it for the next time. */
void *ci_gate_begin(enum ci_symbol symbol, _Atomic(void *) *known);

/* Whether some share of this process has its launches held back at all. */
bool ci_gate_is_set(void);

void ci_gate_enter_slowly(struct ci_launch *launch);
void ci_gate_leave_slowly(struct ci_launch *launch, CUresult result);

/* Begins to measure the parts of a launch, if need be; right before it. */
void ci_gate_measure(struct ci_launch *parts, unsigned int count);

/* Charges what launches are known to have cost by now. Never waits for any. */
void ci_gate_settle(void);

/* Forgets what threads took ahead, in a child that was forked. */
void ci_gate_reset(void);

/* How many threads a launch starts. */
static inline uint64_t ci_threads(unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,
                                  unsigned int block_y, unsigned int block_z)
{
    return (uint64_t)grid_x * grid_y * grid_z * block_x * block_y * block_z;
}

/* The default stream of one thread is another stream than that of all. */
static inline uintptr_t ci_stream_key(const struct ci_launch *launch)
{
    return launch->stream == NULL && launch->per_thread ? 2 : (uintptr_t)launch->stream;
}

static inline uint64_t ci_launch_age(const struct ci_launch *launch)
{
    return ci_handles_age(launch->is_graph);
}

/* Waits until the share may launch; not while the stream is being captured. */
static inline void ci_gate_enter(struct ci_launch *launch)
{
    struct ci_lane *lane = ci_lane;
    if (lane != NULL && atomic_load_explicit(&ci_captures, memory_order_relaxed) == 0) {
        struct ci_memo *memo = ci_lane_memo(lane, launch->work, ci_stream_key(launch), launch->threads);
        if (memo->work == launch->work && memo->stream == ci_stream_key(launch) && memo->threads == launch->threads &&
            memo->round == lane->round && memo->age == ci_launch_age(launch) && memo->uses_left > 0 && memo->purse->left_ns >= memo->cost_ns) {
            memo->uses_left--;
            memo->purse->left_ns -= memo->cost_ns;
            memo->purse->launches++;
            launch->purse = memo->purse;
            launch->cost_ns = memo->cost_ns;
            launch->sample = NULL;
            return;
        }
    }
    ci_gate_enter_slowly(launch);
}

/* Keeps what was paid, unless the driver refused the launch. */
static inline void ci_gate_leave(struct ci_launch *launch, CUresult result)
{
    if (launch->sample != NULL || result != CUDA_SUCCESS)
        ci_gate_leave_slowly(launch, result);
}

#endif
