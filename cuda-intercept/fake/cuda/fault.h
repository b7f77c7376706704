/* Faults on demand, for tests. $FAKE_GPU_FAULTS holds comma-separated rules:
 *
 *   fail:cuMemAlloc:3         the third call finds no memory
 *   kill:cuMemAlloc:3         the process dies as the third call begins
 *   kill-after:cuMemAlloc:3   ... or when it has worked, before it returns
 *   yield:cuMemAlloc          other threads have their turn before any such call returns
 *   hold:cuMemAlloc:3         the third call has worked and returns when it is let: the FIFO
 *                             $FAKE_GPU_HOLD has to be read, and then written, by someone
 *
 * Calls are counted per process, all versions and streams of a name together;
 * without a number it is the first call. */
#ifndef FG_FAULT_H
#define FG_FAULT_H

#include "driver.h"

/* What a call of that name has to begin with: CUDA_SUCCESS, or its error. */
CUresult fg_fault_before(const char *name);

/* What it ends with; returns `result`. */
CUresult fg_fault_after(const char *name, CUresult result);

/* The two around a call. The call is only made where the first says so. */
#define FG_FAULTY(name, call)                                                                      \
    (fg_fault_before(name) == CUDA_SUCCESS ? fg_fault_after(name, (call))                          \
                                           : CUDA_ERROR_OUT_OF_MEMORY)

#endif
