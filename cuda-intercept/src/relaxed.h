/*
 * A program that captures a stream forbids its threads some calls meanwhile, ours
 * among them: they would end the capture. A thread in relaxed mode may make them.
 */
#ifndef CI_RELAXED_H
#define CI_RELAXED_H

#include <stdbool.h>

#include "cuda_device.h"

struct ci_relaxed {
    CUstreamCaptureMode before;
    bool is_set; /* false: the driver has no such modes */
};

struct ci_relaxed ci_relax(void);
void ci_relax_end(struct ci_relaxed relaxed);

/* Calls `body` with the current context's GPU, the thread relaxed meanwhile; not at all
 * where no share limits that GPU, or no context is current. */
void ci_relaxed_on_share(void (*body)(const struct ci_device *device, void *argument), void *argument);

#endif
