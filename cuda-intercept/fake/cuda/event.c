#include "driver.h"

#include <stdlib.h>

struct CUevent_st {
    unsigned flags;
    bool recorded;
    uint64_t at_ns; /* when the device reaches it */
};

CUresult cuEventCreate(CUevent *out, unsigned int flags)
{
    CUresult result;
    if (!fg_current(&result))
        return result;
    CUevent event = out ? calloc(1, sizeof *event) : NULL;
    if (!event)
        return CUDA_ERROR_INVALID_VALUE;
    event->flags = flags;
    *out = event;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    free(event);
    return fg_ready();
}

CUresult cuEventDestroy(CUevent event)
{
    return cuEventDestroy_v2(event);
}

CUresult cuEventRecord(CUevent event, CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    uint64_t now = fg_clock_now(), start = fg_stream_start(stream);
    event->at_ns = start > now ? start : now;
    event->recorded = true;
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

CUresult cuEventQuery(CUevent event)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    return event->at_ns > fg_clock_now() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    fg_clock_wait(event->at_ns);
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
    uint64_t now = fg_clock_now();
    if (start->at_ns > now || end->at_ns > now)
        return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)((double)((int64_t)(end->at_ns - start->at_ns)) / 1e6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    return cuEventElapsedTime_v2(milliseconds, start, end);
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
    fg_stream_extend(stream, event->at_ns);
    return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent_ptsz(CUstream handle, CUevent event, unsigned int flags)
{
    return cuStreamWaitEvent(fg_per_thread(handle), event, flags);
}
