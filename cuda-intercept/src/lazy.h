/*
 * What a context comes to take later, at a launch: local memory of its threads,
 * the fifo of printf, the heap of malloc. An estimate is charged before, and
 * stands until the memory was seen to be taken. Code that is loaded without a
 * look-up of its name has no estimate, and is charged when it is seen.
 */
#ifndef CI_LAZY_H
#define CI_LAZY_H

#include "ledger.h"

enum ci_lazy { CI_LAZY_LOCAL, CI_LAZY_FIFO, CI_LAZY_HEAP, CI_LAZY_COUNT };

/* The current context is about to be given `value` of the limit: charged, or
 * OUT_OF_MEMORY. Until end the calling thread holds a lock. */
CUresult ci_lazy_begin_limit(enum ci_lazy kind, size_t value);
void ci_lazy_end_limit(CUresult result);

/* The current context may launch a function with so much local memory per thread:
 * charged whether it fits or not, since the launch itself is not asked about. */
void ci_lazy_expect_local(size_t bytes);

/* The current context may launch functions that were not looked up one by one. */
void ci_lazy_expect_code(void);

/* A kernel of a library was looked up. It is of no context, and may be launched in any
 * other than the current one without a further look-up, also in one that is made later. */
void ci_lazy_expect_kernels(void);

/* A context was made. */
void ci_lazy_meet(const void *context, const struct ci_device *device);

/* After a synchronization: what was taken meanwhile replaces its estimate. */
void ci_lazy_settle(void);

/* The context is gone, and what it took with it. */
void ci_lazy_forget(const void *context);

/* Forgets everything, in a child that was forked. */
void ci_lazy_reset(void);

#endif
