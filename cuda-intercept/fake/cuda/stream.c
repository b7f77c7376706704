#include "capture.h"
#include "waits.h"

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

static struct fg_mark read_tail(const struct fg_tail *tail)
{
    return (struct fg_mark){tail->work_ns, tail->entries};
}

static void raise_tail(struct fg_tail *tail, struct fg_mark mark)
{
    raise_to(&tail->work_ns, mark.work_ns);
    raise_to(&tail->entries, mark.entries);
}

struct fg_mark fg_stream_start(CUstream stream)
{
    if (stream->legacy)
        return read_tail(&stream->context->blocking_tail);
    struct fg_mark own = read_tail(&stream->tail);
    struct fg_mark legacy = read_tail(&stream->context->legacy.tail);
    if (!waits_for_legacy(stream))
        return own;
    return (struct fg_mark){own.work_ns > legacy.work_ns ? own.work_ns : legacy.work_ns,
                            own.entries > legacy.entries ? own.entries : legacy.entries};
}

void fg_stream_extend(CUstream stream, struct fg_mark mark)
{
    raise_tail(&stream->tail, mark);
    raise_tail(&stream->context->tail, mark);
    if (waits_for_legacy(stream))
        raise_tail(&stream->context->blocking_tail, mark);
}

void fg_stream_wait(CUstream stream)
{
    fg_queue_wait(stream->context->channel, fg_stream_start(stream));
}

void fg_context_wait(CUcontext context)
{
    fg_queue_wait(context->channel, read_tail(&context->tail));
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
    fg_waits("cuStreamSynchronize");
    CUstream stream = fg_stream(handle, &result);
    if (stream)
        result = fg_capture_refuses(stream);
    if (stream && result == CUDA_SUCCESS) {
        fg_stream_wait(stream);
        fg_pools_settle();
    }
    return result;
}

CUresult cuStreamQuery(CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (stream)
        result = fg_capture_refuses(stream);
    if (result != CUDA_SUCCESS)
        return result;
    bool reached = fg_queue_reached(stream->context->channel, fg_stream_start(stream));
    return reached ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
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
