/*
 * The launch budget of a share: one word in its ledger, the time up to which the
 * share has used what its percent gives it. It may launch once that time has
 * come; a launch moves it on by the launch's cost over the percent.
 */
#ifndef CI_BUDGET_H
#define CI_BUDGET_H

#include "region.h"

struct ci_slot;

/* How far a share that did not use its time may reach back for it. */
#define CI_BUDGET_SLACK_NS 40000000

/* What a share pays at that may have all of the GPU: it is paced none the less, a little faster
 * than the GPU works, since what it queues ahead is what others wait for when they come. */
#define CI_BUDGET_WHOLE_PERCENT 110

/* Takes `gpu_ns` at `percent` and returns 0, or takes nothing and returns how
 * long the share is in debt yet. */
uint64_t ci_budget_take(struct ci_region *region, int64_t gpu_ns, unsigned int percent, uint64_t now_ns);

/* Charges more for what was taken (or, negative, less), whatever the debt. */
void ci_budget_settle(struct ci_region *region, int64_t gpu_ns, unsigned int percent);

/* How long the share is in debt yet; 0: it may launch. */
uint64_t ci_budget_debt(const struct ci_region *region, uint64_t now_ns);

/* How long the share has not used its time, at most the slack. */
uint64_t ci_budget_idle(const struct ci_region *region, uint64_t now_ns);

/* What this process has of the budget without having used it: comes back when it dies. */
void ci_budget_lease(struct ci_region *region, int64_t gpu_ns, unsigned int percent);
void ci_budget_run(struct ci_region *region, uint64_t until_ns, unsigned int percent);
/* What was to run until then has, or never will: unless something else runs by now, nothing of it comes back. */
void ci_budget_ran(struct ci_region *region, uint64_t until_ns);
void ci_budget_reclaim(struct ci_region *region, struct ci_slot *slot);

/* Notes that `taker` takes; returns how often takers have changed so far. */
uint32_t ci_budget_turn(struct ci_region *region, uint32_t taker);
uint32_t ci_budget_turns(const struct ci_region *region);

/* The percent of the GPU that the share was charged for over the last second or so. */
unsigned int ci_budget_used_percent(const struct ci_region *region, uint64_t now_ns);

#endif
