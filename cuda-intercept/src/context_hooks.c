/* A context takes memory itself, and destroying it frees what was allocated in it. */
#include <stdatomic.h>

#include "../include/share_env.h"
#include "cuda_device.h"
#include "gate.h"
#include "greens.h"
#include "implicit.h"
#include "lazy.h"
#include "lookups.h"
#include "process.h"
#include "resolve.h"
#include "sample.h"

#define PRIMARIES_MAX 64

/* The last known primary context of each device. */
static _Atomic(void *) primaries[PRIMARIES_MAX];

static void drop_all(const void *context)
{
    ci_samples_forget(context);
    ci_lazy_forget(context);
    struct ci_allocation *entry = ci_pointers_take_of_context(context);
    while (entry != NULL) {
        ci_charge_drop(entry);
        entry = ci_pointers_take_of_context(context);
    }
}

/* Around a call that may end a context. */
static void begin_ending(CUdevice device)
{
    ci_implicit_lock();
    ci_implicit_lock_gpu(device);
    ci_lookups_forget();
    ci_gate_settle();
    ci_samples_hold();
}

static void finish_ending(CUdevice device)
{
    ci_samples_let_go();
    ci_implicit_unlock_gpu(device);
    ci_implicit_unlock();
}

static CUresult begin(struct ci_implicit *implicit, CUdevice ordinal)
{
    struct ci_config *config = ci_process_join();
    struct ci_device device = ci_device_of_ordinal(config, ordinal);
    return ci_implicit_begin(implicit, HAMI_TOTAL_CONTEXT, &device, ci_context_estimate(config, &device));
}

static CUresult begin_create(struct ci_implicit *implicit, CUdevice ordinal)
{
    ci_implicit_lock();
    CUresult result = begin(implicit, ordinal);
    if (result != CUDA_SUCCESS)
        ci_implicit_unlock();
    return result;
}

static void keep(struct ci_implicit *implicit, CUcontext context)
{
    struct ci_device device = implicit->pending.device;
    ci_context_learn(implicit);
    ci_implicit_keep(implicit, CI_SPACE_CONTEXT, context, context);
    ci_lazy_meet(context, &device);
}

static CUresult finish_context(struct ci_implicit *implicit, CUresult result, CUcontext *context)
{
    ci_pfn_cuCtxDestroy_v2 undo = CI_CALL(cuCtxDestroy_v2);
    if (result == CUDA_SUCCESS && !ci_implicit_fits(implicit)) {
        if (undo != NULL)
            undo(*context);
        *context = NULL;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result == CUDA_SUCCESS)
        keep(implicit, *context);
    else
        ci_implicit_cancel(implicit);
    ci_implicit_unlock();
    return result;
}

CUresult cuCtxCreate(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    ci_pfn_cuCtxCreate real = CI_CALL(cuCtxCreate);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_create(&implicit, dev) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish_context(&implicit, real(pctx, flags, dev), pctx);
}

CUresult cuCtxCreate_v2(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    ci_pfn_cuCtxCreate_v2 real = CI_CALL(cuCtxCreate_v2);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_create(&implicit, dev) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish_context(&implicit, real(pctx, flags, dev), pctx);
}

CUresult cuCtxCreate_v3(CUcontext *pctx, CUexecAffinityParam *paramsArray, int numParams, unsigned int flags,
                        CUdevice dev)
{
    ci_pfn_cuCtxCreate_v3 real = CI_CALL(cuCtxCreate_v3);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_create(&implicit, dev) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish_context(&implicit, real(pctx, paramsArray, numParams, flags, dev), pctx);
}

CUresult cuCtxCreate_v4(CUcontext *pctx, CUctxCreateParams *ctxCreateParams, unsigned int flags, CUdevice dev)
{
    ci_pfn_cuCtxCreate_v4 real = CI_CALL(cuCtxCreate_v4);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_create(&implicit, dev) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish_context(&implicit, real(pctx, ctxCreateParams, flags, dev), pctx);
}

static CUresult destroy(ci_pfn_cuCtxDestroy_v2 real, CUcontext context)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUdevice device = ci_ordinal_of_context(context);
    begin_ending(device);
    CUresult result = real(context);
    if (result == CUDA_SUCCESS)
        drop_all(context);
    finish_ending(device);
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

/* Each attachment is one more that has to be undone before the context goes. */
CUresult cuCtxAttach(CUcontext *pctx, unsigned int flags)
{
    ci_pfn_cuCtxAttach real = CI_CALL(cuCtxAttach);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    CUresult result = real(pctx, flags);
    struct ci_allocation *entry =
        result == CUDA_SUCCESS ? ci_pointers_find(CI_SPACE_CONTEXT, (uintptr_t)*pctx) : NULL;
    if (entry != NULL)
        entry->handles++;
    return result;
}

CUresult cuCtxDetach(CUcontext ctx)
{
    ci_pfn_cuCtxDetach real = CI_CALL(cuCtxDetach);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUdevice device = ci_ordinal_of_context(ctx);
    begin_ending(device);
    CUresult result = real(ctx);
    struct ci_allocation *entry =
        result == CUDA_SUCCESS ? ci_pointers_find(CI_SPACE_CONTEXT, (uintptr_t)ctx) : NULL;
    if (entry != NULL && entry->handles == 0)
        drop_all(ctx);
    else if (entry != NULL)
        entry->handles--;
    finish_ending(device);
    return result;
}

static bool is_active(CUdevice device)
{
    ci_pfn_cuDevicePrimaryCtxGetState state = CI_CALL(cuDevicePrimaryCtxGetState);
    unsigned int flags;
    int active = 0;
    return state != NULL && state(device, &flags, &active) == CUDA_SUCCESS && active != 0;
}

/* Only the first retain makes the context. */
static CUresult make_primary(ci_pfn_cuDevicePrimaryCtxRetain real, CUcontext *context, CUdevice device)
{
    ci_pfn_cuDevicePrimaryCtxRelease_v2 undo = CI_CALL(cuDevicePrimaryCtxRelease_v2);
    struct ci_implicit implicit;
    if (begin(&implicit, device) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(context, device);
    if (result == CUDA_SUCCESS && !ci_implicit_fits(&implicit)) {
        if (undo != NULL)
            undo(device);
        *context = NULL;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS) {
        ci_implicit_cancel(&implicit);
        return result;
    }
    keep(&implicit, *context);
    if (device >= 0 && device < PRIMARIES_MAX)
        atomic_store(&primaries[device], *context);
    return result;
}

/* A thread that finds the context made asks for no room, and must not take for it what
 * others allocate meanwhile; nor may the context end before it is retained. */
CUresult cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
    ci_pfn_cuDevicePrimaryCtxRetain real = CI_CALL(cuDevicePrimaryCtxRetain);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_implicit_lock();
    CUresult result = is_active(dev) ? real(pctx, dev) : make_primary(real, pctx, dev);
    ci_implicit_unlock();
    return result;
}

/* By which its streams name it. */
static CUcontext context_of_green(CUgreenCtx green)
{
    ci_pfn_cuCtxFromGreenCtx from = CI_CALL(cuCtxFromGreenCtx);
    CUcontext context = NULL;
    return from != NULL && from(&context, green) == CUDA_SUCCESS ? context : NULL;
}

static CUresult finish_green(struct ci_implicit *implicit, CUresult result, CUgreenCtx *green)
{
    ci_pfn_cuGreenCtxDestroy undo = CI_CALL(cuGreenCtxDestroy);
    if (result == CUDA_SUCCESS && !ci_implicit_fits(implicit)) {
        if (undo != NULL)
            undo(*green);
        *green = NULL;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result == CUDA_SUCCESS)
        ci_implicit_keep(implicit, CI_SPACE_GREEN_CONTEXT, *green, NULL);
    else
        ci_implicit_cancel(implicit);
    return result;
}

/* A green context keeps the primary one alive: that is made, and charged, first. */
CUresult cuGreenCtxCreate(CUgreenCtx *phCtx, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
    ci_pfn_cuGreenCtxCreate real = CI_CALL(cuGreenCtxCreate);
    struct ci_config *config = ci_process_join();
    struct ci_implicit implicit;
    CUcontext primary;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (config == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct ci_device device = ci_device_of_ordinal(config, dev);
    CUresult result = cuDevicePrimaryCtxRetain(&primary, dev);
    if (result != CUDA_SUCCESS)
        return result;
    result = ci_implicit_begin(&implicit, HAMI_TOTAL_CONTEXT, &device, 0);
    if (result == CUDA_SUCCESS)
        result = finish_green(&implicit, real(phCtx, desc, dev, flags), phCtx);
    if (result == CUDA_SUCCESS)
        ci_green_add(context_of_green(*phCtx), primary);
    cuDevicePrimaryCtxRelease_v2(dev);
    return result;
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

static CUresult release(ci_pfn_cuDevicePrimaryCtxRelease_v2 real, CUdevice device)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    begin_ending(device);
    CUcontext context = primary_of(device, real);
    CUresult result = real(device);
    if (result == CUDA_SUCCESS && context != NULL && !is_active(device))
        drop_all(context);
    finish_ending(device);
    return result;
}

/* Where the context is alive after the reset it began anew. */
static void begin_anew(struct ci_config *config, CUcontext context, CUdevice device)
{
    struct ci_allocation *own = ci_pointers_take(CI_SPACE_CONTEXT, (uintptr_t)context);
    drop_all(context);
    if (own != NULL && is_active(device)) {
        struct ci_device found = ci_device_of_ordinal(config, device);
        ci_pointers_insert(own);
        ci_lazy_meet(context, &found);
    } else if (own != NULL)
        ci_charge_drop(own);
}

/* A reset frees all. */
static CUresult reset(ci_pfn_cuDevicePrimaryCtxReset_v2 real, CUdevice device)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_config *config = ci_process_join();
    begin_ending(device);
    CUcontext context = primary_of(device, CI_CALL(cuDevicePrimaryCtxRelease_v2));
    CUresult result = real(device);
    if (result == CUDA_SUCCESS && context != NULL && config != NULL)
        begin_anew(config, context, device);
    finish_ending(device);
    return result;
}

/* Whether a primary context went with it is seen by asking all of them. */
static void drop_inactive(void)
{
    ci_pfn_cuDeviceGetCount count_of = CI_CALL(cuDeviceGetCount);
    int count = 0;
    if (count_of == NULL || count_of(&count) != CUDA_SUCCESS)
        return;
    for (int i = 0; i < count && i < PRIMARIES_MAX; i++) {
        void *context = atomic_load(&primaries[i]);
        if (context != NULL && !is_active(i))
            drop_all(context);
    }
}

CUresult cuGreenCtxDestroy(CUgreenCtx hCtx)
{
    ci_pfn_cuGreenCtxDestroy real = CI_CALL(cuGreenCtxDestroy);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUcontext context = context_of_green(hCtx);
    CUdevice device = ci_ordinal_of_context(context);
    begin_ending(device);
    struct ci_allocation *entry = ci_pointers_take(CI_SPACE_GREEN_CONTEXT, (uintptr_t)hCtx);
    CUresult result = real(hCtx);
    if (entry != NULL && result != CUDA_SUCCESS)
        ci_pointers_insert(entry);
    else if (entry != NULL)
        ci_charge_drop(entry);
    if (result == CUDA_SUCCESS) {
        ci_samples_forget(context);
        ci_green_remove(context);
        drop_inactive();
    }
    finish_ending(device);
    return result;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    return reset(CI_CALL(cuDevicePrimaryCtxReset_v2), dev);
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    return reset(CI_CALL(cuDevicePrimaryCtxReset), dev);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    return release(CI_CALL(cuDevicePrimaryCtxRelease_v2), dev);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    return release(CI_CALL(cuDevicePrimaryCtxRelease), dev);
}
