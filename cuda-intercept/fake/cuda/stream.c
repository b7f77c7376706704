#include "driver.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic uint64_t next_stream_id = 1;

CUstream fg_per_thread(CUstream handle)
{
    return handle ? handle : CU_STREAM_PER_THREAD;
}

CUstream fg_stream(CUstream handle, CUresult *result)
{
    CUcontext context = fg_current(result);
    if (!context)
        return NULL;
    if (!handle || handle == CU_STREAM_LEGACY)
        return &context->legacy;
    return handle == CU_STREAM_PER_THREAD ? &context->per_thread : handle;
}

static void raise_to(_Atomic uint64_t *word, uint64_t value)
{
    uint64_t seen = *word;
    while (seen < value && !atomic_compare_exchange_weak(word, &seen, value))
        ;
}

static bool waits_for_legacy(const struct CUstream_st *stream)
{
    return !(stream->flags & CU_STREAM_NON_BLOCKING);
}

uint64_t fg_stream_start(CUstream stream)
{
    if (stream->legacy)
        return stream->context->blocking_tail_ns;
    uint64_t own = stream->tail_ns;
    uint64_t legacy = waits_for_legacy(stream) ? stream->context->legacy.tail_ns : 0;
    return own > legacy ? own : legacy;
}

void fg_stream_extend(CUstream stream, uint64_t end_ns)
{
    raise_to(&stream->tail_ns, end_ns);
    raise_to(&stream->context->tail_ns, end_ns);
    if (waits_for_legacy(stream))
        raise_to(&stream->context->blocking_tail_ns, end_ns);
}

CUresult cuStreamCreateWithPriority(CUstream *out, unsigned int flags, int priority)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    CUstream stream = out ? calloc(1, sizeof *stream) : NULL;
    if (!stream)
        return CUDA_ERROR_INVALID_VALUE;
    stream->context = context;
    stream->flags = flags;
    stream->priority = priority;
    stream->id = next_stream_id++;
    *out = stream;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *out, unsigned int flags)
{
    return cuStreamCreateWithPriority(out, flags, 0);
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!stream || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD)
        return CUDA_ERROR_INVALID_HANDLE;
    free((void *)stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream)
{
    return cuStreamDestroy_v2(stream);
}

CUresult cuStreamSynchronize(CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream)
        fg_clock_wait(fg_stream_start(stream));
    if (stream)
        fg_pools_settle();
    return result;
}

CUresult cuStreamQuery(CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    return fg_stream_start(stream) > fg_clock_now() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuStreamGetFlags(CUstream handle, unsigned int *flags)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && flags)
        *flags = stream->flags;
    return result;
}

CUresult cuStreamGetPriority(CUstream handle, int *priority)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && priority)
        *priority = stream->priority;
    return result;
}

CUresult cuStreamGetId(CUstream handle, unsigned long long *id)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && id)
        *id = stream->id;
    return result;
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *context)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && context)
        *context = stream->context;
    return result;
}

CUresult cuStreamGetDevice(CUstream handle, CUdevice *device)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && device)
        *device = stream->context->ordinal;
    return result;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream && status)
        *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return result;
}

/* A host function runs when the stream has come so far. The caller waits for
 * it: the fake driver has no threads of its own. */
CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void *data)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    fg_clock_wait(fg_stream_start(stream));
    function(data);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize_ptsz(CUstream handle)
{
    return cuStreamSynchronize(fg_per_thread(handle));
}

CUresult cuStreamQuery_ptsz(CUstream handle)
{
    return cuStreamQuery(fg_per_thread(handle));
}

CUresult cuStreamGetFlags_ptsz(CUstream handle, unsigned int *flags)
{
    return cuStreamGetFlags(fg_per_thread(handle), flags);
}

CUresult cuStreamGetPriority_ptsz(CUstream handle, int *priority)
{
    return cuStreamGetPriority(fg_per_thread(handle), priority);
}

CUresult cuStreamGetId_ptsz(CUstream handle, unsigned long long *id)
{
    return cuStreamGetId(fg_per_thread(handle), id);
}

CUresult cuStreamGetCtx_ptsz(CUstream handle, CUcontext *context)
{
    return cuStreamGetCtx(fg_per_thread(handle), context);
}

CUresult cuStreamGetDevice_ptsz(CUstream handle, CUdevice *device)
{
    return cuStreamGetDevice(fg_per_thread(handle), device);
}

CUresult cuStreamIsCapturing_ptsz(CUstream handle, CUstreamCaptureStatus *status)
{
    return cuStreamIsCapturing(fg_per_thread(handle), status);
}

CUresult cuLaunchHostFunc_ptsz(CUstream handle, CUhostFn function, void *data)
{
    return cuLaunchHostFunc(fg_per_thread(handle), function, data);
}
