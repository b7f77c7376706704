/* Events are stamped by the simulated device as it passes them. It keeps the
 * stamps of the latest ones only: the event whose place is taken gets its own. */
#include "capture.h"
#include "waits.h"

#include <pthread.h>
#include <stdlib.h>

struct CUevent_st {
    unsigned flags;
    CUcontext home; /* that it was made in, and ends with */
    uint64_t home_id;
    bool recorded;
    CUcontext context; /* of the last record; NULL once the stamp is known */
    struct fg_mark mark;
    uint64_t stamp_ns;
    struct fg_capture *capture; /* it was recorded in one: it marks a point of the graph */
};

/* Guards all events and the holders of their places. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

CUresult cuEventCreate(CUevent *out, unsigned int flags)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    CUevent event = out ? calloc(1, sizeof *event) : NULL;
    if (!event)
        return CUDA_ERROR_INVALID_VALUE;
    event->flags = flags;
    event->home = context;
    event->home_id = context->id;
    *out = event;
    return CUDA_SUCCESS;
}

/* A primary context that is reset has another id afterwards. */
static bool is_of(CUevent event, CUcontext context)
{
    return event->home == context && event->home_id == context->id && context->retained;
}

static CUevent *place_of(CUevent event)
{
    return &event->context->holders[(event->mark.entries - 1) % FG_ENTRIES];
}

/* Under the lock. */
static void forget(CUevent event)
{
    if (event->context && *place_of(event) == event)
        *place_of(event) = NULL;
    event->context = NULL;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_lock(&lock);
    forget(event);
    pthread_mutex_unlock(&lock);
    free(event);
    return fg_ready();
}

CUresult cuEventDestroy(CUevent event)
{
    return cuEventDestroy_v2(event);
}

static void record(CUevent event, CUstream stream)
{
    uint64_t reused_ns;
    pthread_mutex_lock(&lock);
    forget(event);
    struct fg_mark mark = fg_queue_event(stream->context->channel, &reused_ns);
    event->context = stream->context;
    event->mark = mark;
    event->stamp_ns = 0;
    event->recorded = true;
    event->capture = NULL;
    CUevent *place = place_of(event);
    if (*place) {
        (*place)->stamp_ns = reused_ns;
        (*place)->context = NULL;
    }
    *place = event;
    pthread_mutex_unlock(&lock);
    fg_stream_extend(stream, mark);
}

CUresult cuEventRecord(CUevent event, CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!event || !is_of(event, stream->context))
        return CUDA_ERROR_INVALID_HANDLE;
    result = fg_capture_implied(stream);
    if (result != CUDA_SUCCESS)
        return result;
    if (fg_captured(stream))
        event->capture = fg_captured(stream);
    else
        record(event, stream);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord_ptsz(CUevent event, CUstream handle)
{
    return cuEventRecord(event, fg_per_thread(handle));
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream handle, unsigned int flags)
{
    (void)flags;
    return cuEventRecord(event, handle);
}

CUresult cuEventRecordWithFlags_ptsz(CUevent event, CUstream handle, unsigned int flags)
{
    return cuEventRecordWithFlags(event, fg_per_thread(handle), flags);
}

/* Whether the device has passed it; an event that was never recorded counts as passed. */
static bool has_passed(CUevent event)
{
    pthread_mutex_lock(&lock);
    if (event->context && !event->stamp_ns)
        event->stamp_ns = fg_queue_stamp(event->context->channel, event->mark);
    bool passed = !event->recorded || event->stamp_ns;
    pthread_mutex_unlock(&lock);
    return passed;
}

/* The errors that asking about an event may have; asking about a captured one ends its capture. */
static CUresult check(CUevent event)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!event || !is_of(event, event->home))
        return CUDA_ERROR_INVALID_HANDLE;
    result = fg_capture_forbids();
    if (result != CUDA_SUCCESS || !event->capture)
        return result;
    event->capture->is_invalid = true;
    return CUDA_ERROR_CAPTURED_EVENT;
}

CUresult cuEventQuery(CUevent event)
{
    CUresult result = check(event);
    if (result != CUDA_SUCCESS)
        return result;
    return has_passed(event) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuEventSynchronize(CUevent event)
{
    CUresult result = check(event);
    if (result != CUDA_SUCCESS)
        return result;
    fg_waits("cuEventSynchronize");
    if (!has_passed(event)) {
        pthread_mutex_lock(&lock);
        CUcontext context = event->context;
        struct fg_mark mark = event->mark;
        pthread_mutex_unlock(&lock);
        if (context)
            fg_queue_wait(context->channel, mark);
    }
    fg_pools_settle();
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end)
{
    if (!milliseconds)
        return CUDA_ERROR_INVALID_VALUE;
    if (!start || !end || !start->recorded || !end->recorded)
        return CUDA_ERROR_INVALID_HANDLE;
    if ((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!has_passed(start) || !has_passed(end))
        return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((double)((int64_t)(end->stamp_ns - start->stamp_ns)) / 1e6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

/* Within a context the order of the launches keeps what comes later behind. */
static CUresult wait_in(CUstream stream, CUevent event)
{
    if (has_passed(event))
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    CUcontext context = event->context;
    struct fg_mark mark = event->mark;
    pthread_mutex_unlock(&lock);
    if (!context || context == stream->context) {
        fg_stream_extend(stream, mark);
        return CUDA_SUCCESS;
    }
    struct fg_mark gate = fg_queue_gate(stream->context->channel);
    fg_stream_extend(stream, gate);
    return fg_host_call(context->channel, mark, NULL, NULL, stream->context->channel, gate);
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned int flags)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    (void)flags;
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    if (event->capture) {
        fg_capture_join(stream, event->capture);
        return CUDA_SUCCESS;
    }
    return wait_in(stream, event);
}

CUresult cuStreamWaitEvent_ptsz(CUstream handle, CUevent event, unsigned int flags)
{
    return cuStreamWaitEvent(fg_per_thread(handle), event, flags);
}
