/* Launches: a kernel is a stretch of time on the simulated device. */
#include "capture.h"
#include "graph.h"
#include "growth.h"
#include "module.h"

#include "../kernels.h"

#include <stdlib.h>
#include <string.h>

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

uint64_t fg_kernel_ns(CUfunction function, void **parameters, void **extra)
{
    if (strcmp(function->name, TIMED_KERNEL) && strcmp(function->name, WORK_KERNEL))
        return default_duration_ns(); /* of the others the first parameter says it */
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

CUresult fg_run(CUstream stream, uint64_t duration_ns)
{
    CUresult result = fg_capture_implied(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (fg_captured(stream))
        return fg_capture_kernel(fg_captured(stream), duration_ns);
    fg_stream_extend(stream, fg_queue_launch(stream->context->channel, duration_ns));
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function, CUstream handle, void **parameters, void **extra)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    result = fg_prepare_launch(function, stream->context);
    return result == CUDA_SUCCESS ? fg_run(stream, fg_kernel_ns(function, parameters, extra)) : result;
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

CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *list, unsigned int count,
                                              unsigned int flags)
{
    (void)flags;
    if (!list || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++)
        if (!list[i].hStream || list[i].hStream == CU_STREAM_LEGACY)
            return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    for (unsigned i = 0; i < count && result == CUDA_SUCCESS; i++)
        result = cuLaunchKernel(list[i].function, list[i].gridDimX, list[i].gridDimY, list[i].gridDimZ,
                                list[i].blockDimX, list[i].blockDimY, list[i].blockDimZ,
                                list[i].sharedMemBytes, list[i].hStream, list[i].kernelParams, NULL);
    return result;
}

/* The oldest way: a function carries its shape and its parameters with it. */
CUresult cuFuncSetBlockShape(CUfunction function, int x, int y, int z)
{
    (void)x, (void)y, (void)z;
    return function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuParamSetSize(CUfunction function, unsigned int bytes)
{
    (void)bytes;
    return function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuParamSetv(CUfunction function, int offset, void *data, unsigned int bytes)
{
    if (!function || !data)
        return CUDA_ERROR_INVALID_HANDLE;
    if (offset < 0 || (size_t)offset + bytes > sizeof function->parameter)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy((char *)&function->parameter + offset, data, bytes);
    return CUDA_SUCCESS;
}

CUresult cuLaunchGridAsync(CUfunction function, int width, int height, CUstream stream)
{
    if (!function || width <= 0 || height <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    void *parameters[] = {&function->parameter};
    return launch(function, stream, parameters, NULL);
}

CUresult cuLaunchGrid(CUfunction function, int width, int height)
{
    return cuLaunchGridAsync(function, width, height, NULL);
}

CUresult cuLaunch(CUfunction function)
{
    return cuLaunchGridAsync(function, 1, 1, NULL);
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
