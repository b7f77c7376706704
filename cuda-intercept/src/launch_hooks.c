/* What launches depend on besides themselves: captures, the current context, and
 * launches on several GPUs at once. Hooked only where launches are held back. */
#include <stdatomic.h>
#include <stdlib.h>

#include "gate.h"
#include "resolve.h"

/* The count may only be too high: then each launch asks for itself. */
static CUresult begun(CUresult result)
{
    if (result == CUDA_SUCCESS)
        atomic_fetch_add(&ci_captures, 1);
    return result;
}

static CUresult ended(CUresult result)
{
    int seen = atomic_load(&ci_captures);
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED)
        while (seen > 0 && !atomic_compare_exchange_weak(&ci_captures, &seen, seen - 1))
            continue;
    return result;
}

#define BEGIN(name, parameters, arguments)                                                                             \
    CUresult name parameters                                                                                           \
    {                                                                                                                  \
        ci_pfn_##name real = CI_CALL(name);                                                                            \
        return real == NULL ? CUDA_ERROR_NO_DEVICE : begun(real arguments);                                            \
    }

BEGIN(cuStreamBeginCapture, (CUstream hStream), (hStream))
BEGIN(cuStreamBeginCapture_ptsz, (CUstream hStream), (hStream))
BEGIN(cuStreamBeginCapture_v2, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode))
BEGIN(cuStreamBeginCapture_v2_ptsz, (CUstream hStream, CUstreamCaptureMode mode), (hStream, mode))
BEGIN(cuStreamBeginCaptureToGraph,
      (CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData,
       size_t numDependencies, CUstreamCaptureMode mode),
      (hStream, hGraph, dependencies, dependencyData, numDependencies, mode))
BEGIN(cuStreamBeginCaptureToGraph_ptsz,
      (CUstream hStream, CUgraph hGraph, const CUgraphNode *dependencies, const CUgraphEdgeData *dependencyData,
       size_t numDependencies, CUstreamCaptureMode mode),
      (hStream, hGraph, dependencies, dependencyData, numDependencies, mode))

BEGIN(cuStreamBeginRecaptureToGraph,
      (CUstream hStream, CUstreamCaptureMode mode, CUgraph hGraph, CUgraphRecaptureCallback callbackFunc,
       void *userData),
      (hStream, mode, hGraph, callbackFunc, userData))
BEGIN(cuStreamBeginRecaptureToGraph_ptsz,
      (CUstream hStream, CUstreamCaptureMode mode, CUgraph hGraph, CUgraphRecaptureCallback callbackFunc,
       void *userData),
      (hStream, mode, hGraph, callbackFunc, userData))
BEGIN(cuStreamBeginCaptureToCig, (CUstream hStream, CUstreamCigCaptureParams *streamCigCaptureParams),
      (hStream, streamCigCaptureParams))
BEGIN(cuStreamBeginCaptureToCig_ptsz, (CUstream hStream, CUstreamCigCaptureParams *streamCigCaptureParams),
      (hStream, streamCigCaptureParams))

CUresult cuStreamEndCaptureToCig(CUstream hStream)
{
    ci_pfn_cuStreamEndCaptureToCig real = CI_CALL(cuStreamEndCaptureToCig);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : ended(real(hStream));
}

CUresult cuStreamEndCaptureToCig_ptsz(CUstream hStream)
{
    ci_pfn_cuStreamEndCaptureToCig_ptsz real = CI_CALL(cuStreamEndCaptureToCig_ptsz);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : ended(real(hStream));
}

CUresult cuStreamEndCapture(CUstream hStream, CUgraph *phGraph)
{
    ci_pfn_cuStreamEndCapture real = CI_CALL(cuStreamEndCapture);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : ended(real(hStream, phGraph));
}

CUresult cuStreamEndCapture_ptsz(CUstream hStream, CUgraph *phGraph)
{
    ci_pfn_cuStreamEndCapture_ptsz real = CI_CALL(cuStreamEndCapture_ptsz);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : ended(real(hStream, phGraph));
}

static CUresult switched(CUresult result)
{
    ci_lane_forget();
    return result;
}

#define SWITCH(name, parameter, argument)                                                                              \
    CUresult name(parameter)                                                                                           \
    {                                                                                                                  \
        ci_pfn_##name real = CI_CALL(name);                                                                            \
        return real == NULL ? CUDA_ERROR_NO_DEVICE : switched(real(argument));                                         \
    }

SWITCH(cuCtxSetCurrent, CUcontext ctx, ctx)
SWITCH(cuCtxPushCurrent, CUcontext ctx, ctx)
SWITCH(cuCtxPushCurrent_v2, CUcontext ctx, ctx)
SWITCH(cuCtxPopCurrent, CUcontext *pctx, pctx)
SWITCH(cuCtxPopCurrent_v2, CUcontext *pctx, pctx)

static struct ci_launch launch_of(const struct ci_launch_params *params)
{
    return (struct ci_launch){
        .stream = params->stream,
        .work = params->function,
        .threads = ci_threads(params->grid[0], params->grid[1], params->grid[2], params->block[0], params->block[1],
                              params->block[2]),
        .is_part = true,
    };
}

/* Each GPU pays for its own part. */
CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *launchParamsList, unsigned int numDevices,
                                              unsigned int flags)
{
    ci_pfn_cuLaunchCooperativeKernelMultiDevice real = CI_CALL(cuLaunchCooperativeKernelMultiDevice);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    bool is_gated = ci_gate_is_set() && launchParamsList != NULL && numDevices > 0;
    struct ci_launch *launches = is_gated ? calloc(numDevices, sizeof(*launches)) : NULL;
    for (unsigned int i = 0; launches != NULL && i < numDevices; i++) {
        launches[i] = launch_of(&launchParamsList[i]);
        ci_gate_enter(&launches[i]);
    }
    if (launches != NULL)
        ci_gate_measure(launches, numDevices);
    CUresult result = real(launchParamsList, numDevices, flags);
    for (unsigned int i = 0; launches != NULL && i < numDevices; i++)
        ci_gate_leave(&launches[i], result);
    free(launches);
    return result;
}
