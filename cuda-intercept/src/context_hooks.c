/* Destroying a context frees what was allocated in it. */
#include "charging.h"
#include "process.h"
#include "resolve.h"

static void drop_all(const void *context)
{
    struct ci_allocation *entry = ci_pointers_take_of_context(context);
    while (entry != NULL) {
        ci_charge_drop(entry);
        entry = ci_pointers_take_of_context(context);
    }
}

static CUresult destroy(ci_pfn_cuCtxDestroy_v2 real, CUcontext context)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUresult result = real(context);
    if (result == CUDA_SUCCESS)
        drop_all(context);
    return result;
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    return destroy(CI_CALL(cuCtxDestroy_v2), ctx);
}

CUresult cuCtxDestroy(CUcontext ctx)
{
    return destroy(CI_CALL(cuCtxDestroy), ctx);
}

static bool is_active(CUdevice device)
{
    ci_pfn_cuDevicePrimaryCtxGetState state = CI_CALL(cuDevicePrimaryCtxGetState);
    unsigned int flags;
    int active = 0;
    return state != NULL && state(device, &flags, &active) == CUDA_SUCCESS && active != 0;
}

/* The handle of a primary context that is alive; never makes one. */
static CUcontext primary_of(CUdevice device, ci_pfn_cuDevicePrimaryCtxRelease_v2 release)
{
    ci_pfn_cuDevicePrimaryCtxRetain retain = CI_CALL(cuDevicePrimaryCtxRetain);
    CUcontext context = NULL;
    if (!is_active(device) || retain == NULL || release == NULL || retain(&context, device) != CUDA_SUCCESS)
        return NULL;
    release(device);
    return context;
}

static CUresult end_primary(ci_pfn_cuDevicePrimaryCtxReset_v2 real, ci_pfn_cuDevicePrimaryCtxRelease_v2 release,
                            CUdevice device)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUcontext context = primary_of(device, release);
    CUresult result = real(device);
    if (result == CUDA_SUCCESS && context != NULL && !is_active(device))
        drop_all(context);
    return result;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    return end_primary(CI_CALL(cuDevicePrimaryCtxReset_v2), CI_CALL(cuDevicePrimaryCtxRelease_v2), dev);
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    return end_primary(CI_CALL(cuDevicePrimaryCtxReset), CI_CALL(cuDevicePrimaryCtxRelease), dev);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    return end_primary(CI_CALL(cuDevicePrimaryCtxRelease_v2), CI_CALL(cuDevicePrimaryCtxRelease_v2), dev);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    return end_primary(CI_CALL(cuDevicePrimaryCtxRelease), CI_CALL(cuDevicePrimaryCtxRelease), dev);
}
