/*
 * What launches cost in GPU nanoseconds, as far as it was measured: by function
 * and size of the grid, and by graph.
 */
#ifndef CI_COST_H
#define CI_COST_H

#include <stdbool.h>
#include <stdint.h>

#define CI_COST_ORDINAL_SHIFT 48

struct ci_cost {
    bool is_known;   /* measured for this size; else guessed from another, if above 0 */
    bool is_sure;    /* and often enough: one measurement may hold time on the host */
    int64_t gpu_ns;
    bool varies;     /* from launch to launch, where nobody else works */
};

/* What a measured time holds besides the launch. */
enum ci_time {
    CI_TIME_EXACT,
    CI_TIME_ROUGH,  /* time on the host, for the GPU had nothing else to do */
    CI_TIME_SHARED, /* the time of others */
};

struct ci_cost ci_cost_find(const void *work, uint64_t threads);

/* Takes a measured time in. Returns what the launch is taken to have cost; 0: the
 * time says nothing. One thread at a time. */
int64_t ci_cost_learn(const void *work, uint64_t threads, int64_t measured_ns, enum ci_time time);

/* Whether what was known of it is out of date, and nothing has been measured since. */
bool ci_cost_is_open(const void *work, uint64_t threads);

/* The handle is another work's from now on; of the second, for all sizes and on all GPUs. */
void ci_cost_forget(const void *work, uint64_t threads);
void ci_cost_forget_all(const void *handle);

/* The work is another one from now on; what it cost is no more than a guess. */
void ci_cost_doubt(const void *work, uint64_t threads);

/* As costs are remembered by: a handle may be the same on all GPUs, each of which takes its own
 * time. Bits that no address has tell them apart. */
static inline const void *ci_cost_work(const void *handle, int ordinal)
{
    return (const void *)((uintptr_t)handle ^ (uintptr_t)(unsigned char)ordinal << CI_COST_ORDINAL_SHIFT);
}

#endif
