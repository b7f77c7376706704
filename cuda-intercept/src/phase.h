/* Opens the gates of a process' GPUs together, so that one does not spin in a
 * collective while the launch that it waits for is held back on another. */
#ifndef CI_PHASE_H
#define CI_PHASE_H

#include "ledger.h"

/* How long a launch that share `payer` could pay should wait for the other GPUs
 * that this process uses. Never so long that the share loses any of its time. As with
 * what is taken of a budget, `now_ns` is later than now where launches may come ahead. */
uint64_t ci_phase_wait(const struct ci_config *config, const struct ci_device *device, int payer, uint64_t now_ns);

/* A launch was paid from the share. */
void ci_phase_use(int share, uint64_t now_ns);

#endif
