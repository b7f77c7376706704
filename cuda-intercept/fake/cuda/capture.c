#include "capture.h"

#include "graph.h"

#include <pthread.h>
#include <stdlib.h>

#define MAX_CAPTURES 64

/* Those that have not ended, guarded by the lock. Captures are never freed:
 * streams and events remember them. */
static struct fg_capture *ongoing[MAX_CAPTURES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int ongoing_count;

static _Thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
static _Thread_local int own_strict_count; /* captures of this thread that are not relaxed */

struct fg_capture *fg_captured(CUstream stream)
{
    if (stream->capture && stream->capture->has_ended)
        stream->capture = NULL;
    return stream->capture;
}

void fg_capture_join(CUstream stream, struct fg_capture *capture)
{
    if (capture && !capture->has_ended && !fg_captured(stream))
        stream->capture = capture;
}

CUresult fg_capture_refuses(CUstream stream)
{
    struct fg_capture *capture = fg_captured(stream);
    if (!capture)
        return fg_capture_implied(stream);
    capture->is_invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

static bool is_strict(const struct fg_capture *capture)
{
    return capture && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult fg_capture_forbids(void)
{
    bool forbidden = false;
    if (!ongoing_count || thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CAPTURES; i++) {
        bool other = thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL && is_strict(ongoing[i]);
        if (other || (ongoing[i] && own_strict_count)) {
            ongoing[i]->is_invalid = true;
            forbidden = true;
        }
    }
    pthread_mutex_unlock(&lock);
    return forbidden ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult fg_capture_implied(CUstream stream)
{
    bool implied = false;
    if (!ongoing_count || !stream->legacy)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CAPTURES; i++)
        if (ongoing[i] && ongoing[i]->origin->context == stream->context &&
            !(ongoing[i]->origin->flags & CU_STREAM_NON_BLOCKING)) {
            ongoing[i]->is_invalid = true;
            implied = true;
        }
    pthread_mutex_unlock(&lock);
    return implied ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
}

CUresult fg_capture_kernel(struct fg_capture *capture, uint64_t duration_ns)
{
    if (capture->is_invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    CUgraphNode node;
    return fg_graph_add_kernel(&node, capture->graph, duration_ns);
}

static CUresult keep(struct fg_capture *capture)
{
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CAPTURES && result != CUDA_SUCCESS; i++)
        if (!ongoing[i]) {
            ongoing[i] = capture;
            ongoing_count++;
            result = CUDA_SUCCESS;
        }
    pthread_mutex_unlock(&lock);
    return result;
}

static void end(struct fg_capture *capture)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CAPTURES; i++)
        if (ongoing[i] == capture)
            ongoing[i] = NULL;
    ongoing_count--;
    capture->has_ended = true;
    pthread_mutex_unlock(&lock);
}

static CUresult begin(CUstream handle, CUgraph graph, CUstreamCaptureMode mode)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    if (stream->legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (fg_captured(stream))
        return CUDA_ERROR_ILLEGAL_STATE;
    struct fg_capture *capture = calloc(1, sizeof *capture);
    if (!capture || (!graph && cuGraphCreate(&graph, 0) != CUDA_SUCCESS))
        return CUDA_ERROR_OUT_OF_MEMORY;
    *capture = (struct fg_capture){.graph = graph, .origin = stream, .mode = mode};
    result = keep(capture);
    if (result == CUDA_SUCCESS) {
        stream->capture = capture;
        own_strict_count += mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    }
    return result;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    return begin(stream, NULL, mode);
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
    return begin(fg_per_thread(stream), NULL, mode);
}

CUresult cuStreamBeginCapture(CUstream stream)
{
    return begin(stream, NULL, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult cuStreamBeginCapture_ptsz(CUstream stream)
{
    return begin(fg_per_thread(stream), NULL, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode *after,
                                     const CUgraphEdgeData *edges, size_t count,
                                     CUstreamCaptureMode mode)
{
    (void)after, (void)edges, (void)count;
    return graph ? begin(stream, graph, mode) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const CUgraphNode *after,
                                          const CUgraphEdgeData *edges, size_t count,
                                          CUstreamCaptureMode mode)
{
    return cuStreamBeginCaptureToGraph(fg_per_thread(stream), graph, after, edges, count, mode);
}

/* The nodes take the place of those that were there; what differs is not looked for. */
CUresult cuStreamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode, CUgraph graph,
                                       CUgraphRecaptureCallback callback, void *data)
{
    (void)callback, (void)data;
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = begin(stream, graph, mode);
    if (result == CUDA_SUCCESS)
        fg_graph_empty(graph);
    return result;
}

CUresult cuStreamBeginRecaptureToGraph_ptsz(CUstream stream, CUstreamCaptureMode mode, CUgraph graph,
                                            CUgraphRecaptureCallback callback, void *data)
{
    return cuStreamBeginRecaptureToGraph(fg_per_thread(stream), mode, graph, callback, data);
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *out)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    struct fg_capture *capture = fg_captured(stream);
    if (!out || !capture || capture->origin != stream)
        return out ? CUDA_ERROR_ILLEGAL_STATE : CUDA_ERROR_INVALID_VALUE;
    end(capture);
    own_strict_count -= capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    *out = capture->is_invalid ? NULL : capture->graph;
    return capture->is_invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *out)
{
    return cuStreamEndCapture(fg_per_thread(stream), out);
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream || !status)
        return stream ? CUDA_ERROR_INVALID_VALUE : result;
    if (fg_capture_implied(stream) != CUDA_SUCCESS)
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    const struct fg_capture *capture = fg_captured(stream);
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (capture)
        *status = capture->is_invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                      : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing_ptsz(CUstream stream, CUstreamCaptureStatus *status)
{
    return cuStreamIsCapturing(fg_per_thread(stream), status);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}
