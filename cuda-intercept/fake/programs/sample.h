/* The commands of gpu-sample. Each returns an exit status. */
#ifndef FG_SAMPLE_H
#define FG_SAMPLE_H

#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stddef.h>

#define EXIT_DENIED 3 /* the driver said no; 1 is anything unexpected */

/* "CUDA_ERROR_OUT_OF_MEMORY"; never NULL. */
const char *sample_error(CUresult result);

/* Prints "<what>: <error>" and returns an exit status. */
int sample_fail(const char *what, CUresult result);

/* Initializes the driver and makes the first GPU's primary context current. */
CUresult sample_begin(void);

/* A kernel that runs as long as its first parameter says, in nanoseconds. */
CUresult sample_load_kernel(CUfunction *kernel);
CUresult sample_launch(CUfunction kernel, unsigned long long duration_ns);

int sample_paths(size_t mebibytes);

#endif
