/*
 * What launches cost in GPU nanoseconds, as far as it was measured: by function
 * and size of the grid, and by graph.
 */
#ifndef CI_COST_H
#define CI_COST_H

#include <stdbool.h>
#include <stdint.h>

struct ci_cost {
    bool is_known;   /* measured for this size; else guessed from another, if above 0 */
    bool is_sure;    /* and often enough: one measurement may hold time on the host */
    int64_t gpu_ns;
};

struct ci_cost ci_cost_find(const void *work, uint64_t threads);

/* Takes a measured time in. `is_shared`: it may hold the time of others. Returns
 * what the launch is taken to have cost. One thread at a time. */
int64_t ci_cost_learn(const void *work, uint64_t threads, int64_t measured_ns, bool is_shared);

#endif
