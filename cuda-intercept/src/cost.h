/* What launches cost in GPU nanoseconds, learned from sampled event pairs. */
#ifndef CI_COST_H
#define CI_COST_H

#include "gate.h"
#include "ledger.h"

/* The remembered cost of a function or graph; 0: never measured. */
int64_t ci_cost_estimate(const void *work);

/* Whether the first cost of a function or graph is being measured right now. */
bool ci_cost_is_awaited(const void *work);

/* Records an event before the launch if it is one to measure, else NULL. */
struct ci_sample *ci_cost_begin(const struct ci_launch *launch);

/* Records the event after it. `estimate_ns` was spent on `device` already. */
void ci_cost_end(struct ci_sample *sample, const struct ci_launch *launch, const struct ci_device *device,
                 int64_t estimate_ns);
void ci_cost_cancel(struct ci_sample *sample);

/* Calls `settle` for each finished sample with what was spent too little (or,
 * negative, too much). Never waits for the GPU. */
void ci_cost_harvest(void (*settle)(const struct ci_device *device, int64_t difference_ns));

#endif
