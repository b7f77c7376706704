/* Holds launches back so that a share keeps to its part of the GPU's time. */
#ifndef CI_GATE_H
#define CI_GATE_H

#include "abi.h"

struct ci_sample;

/* One launch on its way: filled in by the generated hook. */
struct ci_launch {
    CUstream stream;
    const void *work; /* the function or graph, whose cost is remembered; or NULL */
    bool per_thread;  /* the default stream is the thread's own */

    /* between enter and leave */
    bool counted;
    struct ci_sample *sample;
};

/* Whether some share of this process has its launches held back at all. */
bool ci_gate_is_set(void);

/* Waits until the share may launch; not while the stream is being captured. */
void ci_gate_enter(struct ci_launch *launch);

/* Spends what the launch will cost, unless the driver refused it. */
void ci_gate_leave(struct ci_launch *launch, CUresult result);

#endif
