/* Physical memory behind handles of cuMemCreate, kept by whatever maps it. */
#ifndef CI_BACKING_H
#define CI_BACKING_H

#include "charging.h"

/* The memory behind a handle, kept from going by one more mapping; NULL: not charged here. */
struct ci_allocation *ci_backing_keep(CUmemGenericAllocationHandle handle);
void ci_backing_let_go(struct ci_allocation *backing);

/* The array is gone, and what was mapped into it. */
void ci_sparse_forget(const void *array);

/* In a child that was forked. */
void ci_sparse_reset(void);

#endif
