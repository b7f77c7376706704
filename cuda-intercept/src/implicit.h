/*
 * What the driver takes without saying how much: contexts and code. It is charged
 * by an estimate before the call, and afterwards by what was seen to go.
 */
#ifndef CI_IMPLICIT_H
#define CI_IMPLICIT_H

#include "charging.h"
#include "gauge.h"

/* Between begin and end the calling thread is the only one of the process that
 * makes such a call for that GPU. */
struct ci_implicit {
    struct ci_pending pending;
    bool is_charged;
    uint64_t estimate_bytes;
    uint64_t held_bytes; /* by this process, before */
    struct ci_gauge before;
    uint64_t free_bytes; /* of the GPU before; only where `has_free` */
    bool has_free;
};

/* For calls that make or end a context: no other one is made or ends meanwhile. The driver may
 * give its handle to the next one at once, whose charge would be taken for the old one's. */
void ci_implicit_lock(void);
void ci_implicit_unlock(void);

/* Within that, for calls that end one: nothing is measured on its GPU meanwhile. */
void ci_implicit_lock_gpu(CUdevice ordinal);
void ci_implicit_unlock_gpu(CUdevice ordinal);

/* CUDA_SUCCESS, or OUT_OF_MEMORY: not even the estimate fits. Where memory is
 * closed the call is let through uncharged, since launches are open. */
CUresult ci_implicit_begin(struct ci_implicit *implicit, int kind, const struct ci_device *device,
                           uint64_t estimate_bytes);

/* Charges what went; false: it does not fit, and the caller undoes the call and
 * cancels. */
bool ci_implicit_fits(struct ci_implicit *implicit);
/* The same where nothing can be undone: charged whether it fits or not. The bytes. */
uint64_t ci_implicit_force(struct ci_implicit *implicit);
/* The charge goes with that of an allocation. */
void ci_implicit_add(struct ci_implicit *implicit, struct ci_allocation *owner);
void ci_implicit_keep(struct ci_implicit *implicit, enum ci_space space, const void *handle, void *context);
void ci_implicit_cancel(struct ci_implicit *implicit);

/* In a child that was forked. */
void ci_implicit_reset(void);

/* What the share's GPU has been seen to take for a context. */
uint64_t ci_context_estimate(const struct ci_config *config, const struct ci_device *device);
void ci_context_learn(const struct ci_implicit *implicit);

#endif
