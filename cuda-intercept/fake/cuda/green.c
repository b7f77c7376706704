/* Green contexts: a part of the multiprocessors with some memory of its own. The context
 * that programs know one by is not the primary one, whose memory all the rest is. */
#include "driver.h"
#include "fault.h"

#include <stdlib.h>
#include <string.h>

struct CUgreenCtx_st {
    CUcontext context; /* the primary one, which it keeps */
    CUcontext own;     /* kept for ever: threads may still have it on their stacks */
    uint64_t charged_bytes;
};

CUresult cuDeviceGetDevResource(CUdevice device, CUdevResource *out, CUdevResourceType type)
{
    if (!out || !fg_device(device) || type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_VALUE;
    memset(out, 0, sizeof *out);
    out->type = type;
    out->sm.smCount = (unsigned)fg_device(device)->multiprocessors;
    return CUDA_SUCCESS;
}

/* A descriptor is only handed on. */
CUresult cuDevResourceGenerateDesc(CUdevResourceDesc *out, CUdevResource *resources, unsigned int count)
{
    static char described;
    if (!out || !resources || !count)
        return CUDA_ERROR_INVALID_VALUE;
    *out = (CUdevResourceDesc)(void *)&described;
    return CUDA_SUCCESS;
}

static CUresult create(CUgreenCtx *out, CUdevice device)
{
    CUcontext context;
    CUresult result = cuDevicePrimaryCtxRetain(&context, device);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t cost = fg_machine()->profile.green_context_bytes;
    CUgreenCtx made = malloc(sizeof *made);
    CUcontext own = calloc(1, sizeof *own);
    if (!made || !own || !fg_occupy(context->gpu, cost)) {
        free(made);
        free((void *)own);
        cuDevicePrimaryCtxRelease_v2(device);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    own->ordinal = device;
    own->retained = 1;
    own->primary = true; /* not to be destroyed as what it is not */
    own->whole = context;
    *made = (struct CUgreenCtx_st){context, own, cost};
    *out = made;
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxCreate(CUgreenCtx *out, CUdevResourceDesc description, CUdevice device,
                          unsigned int flags)
{
    if (!out || !description || flags != CU_GREEN_CTX_DEFAULT_STREAM || !fg_device(device))
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuGreenCtxCreate", create(out, device));
}

static CUresult destroy(CUgreenCtx green)
{
    fg_vacate(green->context->gpu, green->charged_bytes);
    CUdevice device = green->context->ordinal;
    green->own->retained = 0;
    free(green);
    return cuDevicePrimaryCtxRelease_v2(device);
}

CUresult cuGreenCtxDestroy(CUgreenCtx green)
{
    return green ? FG_FAULTY("cuGreenCtxDestroy", destroy(green)) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuCtxFromGreenCtx(CUcontext *out, CUgreenCtx green)
{
    if (!out || !green)
        return CUDA_ERROR_INVALID_VALUE;
    *out = green->own;
    return CUDA_SUCCESS;
}
