#include "growth.h"

#include "fault.h"
#include "waits.h"

#include <stdatomic.h>

/* What programs set is kept per process. */
static _Atomic size_t limits[CU_LIMIT_MAX] = {
    [CU_LIMIT_STACK_SIZE] = 1024,
    [CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20,
    [CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20,
    [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
    [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
    [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64,
};
static _Atomic CUfunc_cache cache_config = CU_FUNC_CACHE_PREFER_NONE;
static _Atomic CUsharedconfig shared_config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;

/* Answers `value` through `out` where a context is current. */
#define ANSWER(out, value)                                                                         \
    do {                                                                                           \
        CUresult result;                                                                           \
        CUcontext context = fg_current(&result);                                                   \
        if (!context)                                                                              \
            return result;                                                                         \
        if (!(out))                                                                                \
            return CUDA_ERROR_INVALID_VALUE;                                                       \
        *(out) = (value);                                                                          \
        return CUDA_SUCCESS;                                                                       \
    } while (0)

CUresult cuCtxGetDevice(CUdevice *device)
{
    ANSWER(device, context->ordinal);
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext context)
{
    if (!context)
        return cuCtxGetDevice(device);
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    *device = context->ordinal;
    return fg_ready();
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    ANSWER(flags, context->flags);
}

CUresult cuCtxGetApiVersion(CUcontext context, unsigned int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    (void)context;
    *version = 3020;
    return fg_ready();
}

CUresult cuCtxGetId(CUcontext context, unsigned long long *id)
{
    CUresult result;
    if (!context && !(context = fg_current(&result)))
        return result;
    if (!id)
        return CUDA_ERROR_INVALID_VALUE;
    *id = context->id;
    return CUDA_SUCCESS;
}

size_t fg_limit(CUlimit limit)
{
    return limits[limit];
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    if (limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    ANSWER(value, limits[limit]);
}

static CUresult set_limit(CUcontext context, CUlimit limit, size_t value)
{
    CUresult result = CUDA_SUCCESS;
    if (limit == CU_LIMIT_STACK_SIZE) /* this one takes effect at once */
        result = fg_grow(context, FG_LOCAL, value);
    if (result == CUDA_SUCCESS)
        limits[limit] = value;
    return result;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    return limit < CU_LIMIT_MAX ? FG_FAULTY("cuCtxSetLimit", set_limit(context, limit, value)) : CUDA_ERROR_UNSUPPORTED_LIMIT;
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    ANSWER(config, cache_config);
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    CUresult result;
    if (fg_current(&result))
        cache_config = config;
    return result;
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    ANSWER(config, shared_config);
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    CUresult result;
    if (fg_current(&result))
        shared_config = config;
    return result;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    CUresult result;
    if (!fg_current(&result))
        return result;
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    fg_waits("cuCtxSynchronize");
    if (context)
        fg_context_wait(context);
    if (context)
        fg_pools_settle();
    return result;
}

CUresult cuCtxSynchronize_v2(CUcontext context)
{
    if (!context)
        return cuCtxSynchronize();
    fg_waits("cuCtxSynchronize");
    fg_context_wait(context);
    fg_pools_settle();
    return fg_ready();
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    CUresult result;
    fg_current(&result);
    return result;
}
