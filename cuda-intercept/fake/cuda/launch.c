/* Launches: a kernel is a stretch of time on the simulated device. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

#define TIMED_KERNEL "fake_busy_ns" /* its first parameter says how long it runs */

/* How long kernels run that do not say it; $FAKE_GPU_KERNEL_NS beats the profile. */
static uint64_t default_duration_ns(void)
{
    const char *value = getenv("FAKE_GPU_KERNEL_NS");
    return value ? strtoull(value, NULL, 10) : fg_machine()->profile.kernel_ns;
}

/* The packed parameters of a launch that passes them in one buffer. */
static const void *find_buffer(void **extra)
{
    for (; extra && *extra != CU_LAUNCH_PARAM_END; extra += 2)
        if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER)
            return extra[1];
    return NULL;
}

static uint64_t duration_ns(CUfunction function, void **parameters, void **extra)
{
    if (strcmp(function->name, TIMED_KERNEL))
        return default_duration_ns();
    const void *first = parameters ? parameters[0] : find_buffer(extra);
    uint64_t duration = 0;
    if (first)
        memcpy(&duration, first, sizeof duration);
    return duration;
}

static bool fits(const unsigned grid[3], const unsigned block[3])
{
    for (int i = 0; i < 3; i++)
        if (!grid[i] || !block[i])
            return false;
    return (uint64_t)block[0] * block[1] * block[2] <= 1024 && block[2] <= 64;
}

static CUresult launch(CUfunction function, CUstream handle, void **parameters, void **extra)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    unsigned gpu = stream->context->number;
    uint64_t end = fg_clock_launch(fg_state_meter(gpu), fg_state_own_meter(gpu),
                                   fg_stream_start(stream),
                                   duration_ns(function, parameters, extra));
    fg_stream_extend(stream, end);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                        unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                        unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                        void **parameters, void **extra)
{
    (void)shared_bytes;
    const unsigned grid[] = {grid_x, grid_y, grid_z}, block[] = {block_x, block_y, block_z};
    return fits(grid, block) ? launch(function, stream, parameters, extra)
                             : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuLaunchKernel_ptsz(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                             unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                             unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                             void **parameters, void **extra)
{
    return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                          shared_bytes, fg_per_thread(stream), parameters, extra);
}

static CUresult launch_configured(const CUlaunchConfig *config, CUstream stream,
                                  CUfunction function, void **parameters, void **extra)
{
    return cuLaunchKernel(function, config->gridDimX, config->gridDimY, config->gridDimZ,
                          config->blockDimX, config->blockDimY, config->blockDimZ,
                          config->sharedMemBytes, stream, parameters, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters,
                          void **extra)
{
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    return launch_configured(config, config->hStream, function, parameters, extra);
}

CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *config, CUfunction function,
                               void **parameters, void **extra)
{
    if (!config)
        return CUDA_ERROR_INVALID_VALUE;
    return launch_configured(config, fg_per_thread(config->hStream), function, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int shared_bytes, CUstream stream,
                                   void **parameters)
{
    return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                          shared_bytes, stream, parameters, NULL);
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction function, unsigned int grid_x,
                                        unsigned int grid_y, unsigned int grid_z,
                                        unsigned int block_x, unsigned int block_y,
                                        unsigned int block_z, unsigned int shared_bytes,
                                        CUstream stream, void **parameters)
{
    return cuLaunchCooperativeKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                                     shared_bytes, fg_per_thread(stream), parameters);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function,
                                                     int block_size, size_t shared_bytes)
{
    (void)shared_bytes;
    if (!blocks || !function || block_size <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    int by_threads = 2048 / block_size;
    *blocks = by_threads > 32 ? 32 : by_threads;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction function,
                                                              int block_size, size_t shared_bytes,
                                                              unsigned int flags)
{
    (void)flags;
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, block_size, shared_bytes);
}
