/* Pairs of events around some launches, which tell what they cost. */
#ifndef CI_SAMPLE_H
#define CI_SAMPLE_H

#include "gate.h"

/* What a finished pair is good for. */
struct ci_measurement {
    const void *work; /* as costs are remembered by */
    uint64_t threads;
    uint64_t age; /* of the handles when it was launched */
    bool is_graph;
    int64_t gpu_ns;
    bool is_shared;
    bool by_mean; /* charged as measured, whoever else worked */
    bool is_rough; /* holds time on the host */
    int share; /* that paid, and on what terms */
    unsigned int percent;
    uint32_t correction;
    int64_t paid_ns;
    uint64_t busy_until_ns;
};

/* Records an event before the launch, or returns NULL. `turn`: ci_budget_turns
 * at this time; `is_shared`: others work on the GPU by then. */
struct ci_sample *ci_sample_begin(const struct ci_launch *launch, const struct ci_measurement *expected, uint32_t turn);

/* Records the event after it, or drops the pair. */
void ci_sample_end(struct ci_sample *sample, const struct ci_launch *launch, bool is_launched);

/* Whether a launch of `work` is being measured right now. */
bool ci_sample_is_awaited(const void *work);

/* Calls `settle` for each pair that the GPU has passed. Never waits for it. */
void ci_sample_harvest(void (*settle)(const struct ci_measurement *measured, uint32_t turn));

/* Around the end of a context, whose events end with it: nobody asks about any meanwhile, or makes
 * new ones. In between, what was of the context is forgotten. */
void ci_samples_hold(void);
void ci_samples_forget(const void *context);
void ci_samples_let_go(void);

void ci_sample_reset(void);

#endif
