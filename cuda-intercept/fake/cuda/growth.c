/*
 * What a context comes to take without being asked for it: the code of functions
 * that are loaded lazily, the local memory of all threads that can run at once,
 * the fifo of printf and the heap of malloc on the device.
 */
#include "growth.h"

#include "capture.h"
#include "fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_KERNEL "fake_local_" /* a number behind it: the local bytes of a thread */
#define RESIDENT_THREADS 2048      /* of a multiprocessor */

/* What a context has of each kind from the start. */
static const uint64_t initial_bytes[FG_GROWTHS] = {
    [FG_LOCAL] = 1024, [FG_FIFO] = (uint64_t)1 << 20, [FG_HEAP] = (uint64_t)8 << 20};

static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;

static uint64_t cost(const struct fg_gpu *gpu, enum fg_growth kind, uint64_t bytes)
{
    uint64_t more = bytes > initial_bytes[kind] ? bytes - initial_bytes[kind] : 0;
    if (kind == FG_LOCAL)
        more *= gpu->multiprocessors * RESIDENT_THREADS;
    return fg_round_up(more * fg_machine()->profile.growth_percent / 100, FG_GRANULARITY);
}

CUresult fg_grow(CUcontext context, enum fg_growth kind, uint64_t bytes)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&growing);
    uint64_t held = context->growths[kind];
    uint64_t wanted = cost(context->gpu, kind, bytes);
    if (wanted > held && !fg_occupy(context->gpu, wanted - held))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    else if (wanted > held)
        context->growths[kind] = wanted;
    pthread_mutex_unlock(&growing);
    return result;
}

void fg_growths_release(CUcontext context)
{
    for (int kind = 0; kind < FG_GROWTHS; kind++) {
        fg_vacate(context->gpu, context->growths[kind]);
        context->growths[kind] = 0;
    }
}

uint64_t fg_local_bytes(CUfunction function)
{
    size_t length = strlen(LOCAL_KERNEL);
    return strncmp(function->name, LOCAL_KERNEL, length) ? 0 : strtoull(function->name + length, NULL, 10);
}

CUresult fg_prepare_launch(CUfunction function, CUcontext context)
{
    CUresult result = fg_function_load(function, context);
    if (result == CUDA_SUCCESS)
        result = fg_grow(context, FG_LOCAL, fg_local_bytes(function));
    if (result == CUDA_SUCCESS)
        result = fg_grow(context, FG_HEAP, fg_limit(CU_LIMIT_MALLOC_HEAP_SIZE));
    return result == CUDA_SUCCESS ? fg_grow(context, FG_FIFO, fg_limit(CU_LIMIT_PRINTF_FIFO_SIZE)) : result;
}

CUresult cuFuncLoad(CUfunction function)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    result = fg_capture_forbids(); /* it takes memory of the device, as allocations do */
    return result == CUDA_SUCCESS ? FG_FAULTY("cuFuncLoad", fg_function_load(function, context)) : result;
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction function)
{
    CUresult result;
    if (!state || !function)
        return CUDA_ERROR_INVALID_VALUE;
    *state = fg_function_is_loaded(function, fg_current(&result)) ? CU_FUNCTION_LOADING_STATE_LOADED : CU_FUNCTION_LOADING_STATE_UNLOADED;
    return CUDA_SUCCESS;
}
