/* CLOCK_MONOTONIC in nanoseconds, which all processes and containers share:
 * the clock of the simulated devices. */
#ifndef FG_CLOCK_H
#define FG_CLOCK_H

#include <stdint.h>

uint64_t fg_clock_now(void);

/* Sleeps until the time has come. */
void fg_clock_wait(uint64_t until_ns);

#endif
