#ifndef FG_GROWTH_H
#define FG_GROWTH_H

#include "module.h"

/* The context has `bytes` of the kind from here on, or what it had before and
 * CUDA_ERROR_OUT_OF_MEMORY. It never shrinks. */
CUresult fg_grow(CUcontext context, enum fg_growth kind, uint64_t bytes);

/* Whatever the launch of a function needs first. */
CUresult fg_prepare_launch(CUfunction function, CUcontext context);

/* Local memory of each of its threads. */
uint64_t fg_local_bytes(CUfunction function);

/* What programs have set, or the default. */
size_t fg_limit(CUlimit limit);

#endif
