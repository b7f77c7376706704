/*
 * The simulated device clock. A GPU runs one kernel at a time, in the order of
 * the launches of all processes; a kernel's end is known when it is launched.
 * All times are nanoseconds of CLOCK_MONOTONIC, which containers share.
 */
#ifndef FG_CLOCK_H
#define FG_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#define FG_SAMPLES 16
#define FG_SAMPLE_NS 166666667ull /* NVML samples six times a second */

struct fg_sample {
    _Atomic uint64_t at_ns;
    _Atomic uint64_t end_ns;
    _Atomic uint64_t work_ns;
};

/* The work given to a GPU, or by one process to a GPU. Lives in shared memory;
 * every word is atomic, no lock is held. */
struct fg_meter {
    _Atomic uint64_t end_ns;  /* when the last kernel ends */
    _Atomic uint64_t work_ns; /* the length of all kernels ever launched */
    _Atomic uint64_t launches;
    _Atomic uint64_t sample_count;
    struct fg_sample samples[FG_SAMPLES];
};

uint64_t fg_clock_now(void);

/* Sleeps until the time has come. */
void fg_clock_wait(uint64_t until_ns);

/* Queues a kernel of `duration_ns` that may not start before `after_ns`, on
 * the GPU's meter and, for the reports, on the process' own. Returns its end. */
uint64_t fg_clock_launch(struct fg_meter *gpu, struct fg_meter *own, uint64_t after_ns,
                         uint64_t duration_ns);

/* How much of the last `window_ns` the GPU worked, in percent. */
unsigned fg_clock_busy_percent(const struct fg_meter *meter, uint64_t window_ns);

#endif
