/*
 * A green context is known to programs by a context of its own, but by CUDA's documentation that
 * is the primary one with less to work with: memory and code in it are the primary one's.
 */
#ifndef CI_GREENS_H
#define CI_GREENS_H

#include "abi.h"

void ci_green_add(CUcontext context, CUcontext primary);
void ci_green_remove(CUcontext context);

/* The context that what is taken now belongs to, and goes with; NULL: none is current. */
CUcontext ci_owning_context(void);

#endif
