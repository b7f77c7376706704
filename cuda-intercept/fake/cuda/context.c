#include "driver.h"
#include "fault.h"
#include "waits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STACK_DEPTH 64

/* Guarded by the lock, which is held while a context comes or goes. */
static struct CUctx_st primaries[FG_MAX_GPUS];
static unsigned primary_flags[FG_MAX_GPUS]; /* for when they are made next */
static CUcontext created; /* all others, those that are gone too */
static uint64_t next_context_id = 1;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local CUcontext stack[STACK_DEPTH];
static _Thread_local unsigned depth;

CUcontext fg_current(CUresult *result)
{
    *result = fg_ready();
    if (*result != CUDA_SUCCESS)
        return NULL;
    CUcontext context = depth ? stack[depth - 1] : NULL;
    if (context && context->retained && context->whole)
        context = context->whole;
    if (!context || !context->retained)
        *result = context ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
    return *result == CUDA_SUCCESS ? context : NULL;
}

static void begin_stream(struct CUstream_st *stream, CUcontext context, bool legacy)
{
    memset((void *)stream, 0, sizeof *stream);
    stream->context = context;
    stream->legacy = legacy;
}

static void end(CUcontext context)
{
    fg_waits("the end of a context");
    fg_context_wait(context);
    fg_queue_end(context->channel);
    fg_memory_release(context);
    fg_arrays_release(context);
    fg_modules_release(context);
    fg_growths_release(context);
    fg_vacate(context->gpu, context->charged_bytes);
    fg_state_add_context(context->number, -1);
    context->retained = 0;
}

/* Charges what a context costs and makes it usable. */
static CUresult begin(CUcontext context, CUdevice ordinal, unsigned flags)
{
    const struct fg_gpu *gpu = fg_device(ordinal);
    unsigned number = fg_machine_number(gpu);
    uint64_t cost = fg_machine()->profile.context_bytes;
    uint32_t channel = fg_queue_begin(number);
    if (channel == FG_NOBODY)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!fg_occupy(gpu, cost)) {
        fg_queue_end(channel);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    memset((void *)context, 0, sizeof *context);
    context->gpu = gpu;
    context->number = number;
    context->channel = channel;
    context->ordinal = ordinal;
    context->flags = flags;
    context->retained = 1;
    context->id = next_context_id++;
    context->charged_bytes = cost;
    begin_stream(&context->legacy, context, true);
    begin_stream(&context->per_thread, context, false);
    fg_state_add_context(number, 1);
    CUresult result = fg_modules_enter(context);
    if (result != CUDA_SUCCESS)
        end(context);
    return result;
}

CUresult fg_contexts_visit(CUresult (*visit)(void *argument, CUcontext context), void *argument)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&changing);
    for (unsigned i = 0; i < fg_device_count() && result == CUDA_SUCCESS; i++)
        if (primaries[i].retained)
            result = visit(argument, &primaries[i]);
    for (CUcontext context = created; context && result == CUDA_SUCCESS; context = context->next)
        if (context->retained)
            result = visit(argument, context);
    pthread_mutex_unlock(&changing);
    return result;
}

static CUresult check_device(CUdevice device)
{
    CUresult result = fg_ready();
    return result == CUDA_SUCCESS && !fg_device(device) ? CUDA_ERROR_INVALID_DEVICE : result;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    CUcontext context = &primaries[device];
    pthread_mutex_lock(&changing);
    if (context->retained) {
        context->retained++;
    } else {
        result = FG_FAULTY("cuCtxCreate", begin(context, device, primary_flags[device]));
        context->primary = result == CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&changing);
    if (result == CUDA_SUCCESS)
        *out = context;
    return result;
}

static CUresult release(CUdevice device)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    CUcontext context = &primaries[device];
    pthread_mutex_lock(&changing);
    if (!context->retained)
        result = CUDA_ERROR_INVALID_CONTEXT;
    else if (context->retained > 1)
        context->retained--;
    else
        end(context);
    pthread_mutex_unlock(&changing);
    return result;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    return FG_FAULTY("cuDevicePrimaryCtxRelease", release(device));
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
    return cuDevicePrimaryCtxRelease_v2(device);
}

/* Holders keep their references: the context begins anew, empty. */
static CUresult reset(CUdevice device)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    CUcontext context = &primaries[device];
    pthread_mutex_lock(&changing);
    unsigned retained = context->retained;
    if (retained) {
        end(context);
        result = begin(context, device, primary_flags[device]);
        context->primary = true;
        context->retained = result == CUDA_SUCCESS ? retained : 0;
    }
    pthread_mutex_unlock(&changing);
    return result;
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
    return FG_FAULTY("cuDevicePrimaryCtxReset", reset(device));
}

CUresult cuDevicePrimaryCtxReset(CUdevice device)
{
    return cuDevicePrimaryCtxReset_v2(device);
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned int flags)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&changing);
    primary_flags[device] = flags;
    primaries[device].flags = flags;
    pthread_mutex_unlock(&changing);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned int flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(device, flags);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags, int *active)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&changing);
    *flags = primary_flags[device];
    *active = primaries[device].retained > 0;
    pthread_mutex_unlock(&changing);
    return fg_fault_after("cuDevicePrimaryCtxGetState", CUDA_SUCCESS);
}

static CUresult push(CUcontext context)
{
    if (depth == STACK_DEPTH)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

static CUresult create(CUcontext *out, unsigned flags, CUdevice device)
{
    CUresult result = check_device(device);
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    CUcontext context = depth < STACK_DEPTH ? calloc(1, sizeof *context) : NULL;
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&changing);
    result = FG_FAULTY("cuCtxCreate", begin(context, device, flags));
    if (result == CUDA_SUCCESS) {
        context->next = created;
        created = context;
    }
    pthread_mutex_unlock(&changing);
    if (result != CUDA_SUCCESS) {
        free((void *)context);
        return result;
    }
    *out = context;
    return push(context);
}

CUresult cuCtxCreate(CUcontext *out, unsigned int flags, CUdevice device)
{
    return create(out, flags, device);
}

CUresult cuCtxCreate_v2(CUcontext *out, unsigned int flags, CUdevice device)
{
    return create(out, flags, device);
}

CUresult cuCtxCreate_v3(CUcontext *out, CUexecAffinityParam *affinity, int count,
                        unsigned int flags, CUdevice device)
{
    (void)affinity;
    return count ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : create(out, flags, device);
}

CUresult cuCtxCreate_v4(CUcontext *out, CUctxCreateParams *params, unsigned int flags,
                        CUdevice device)
{
    bool has_affinity = params && params->numExecAffinityParams;
    return has_affinity ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : create(out, flags, device);
}

static CUresult check_created(CUcontext context)
{
    CUresult result = fg_ready();
    if (result == CUDA_SUCCESS && (!context || context->primary))
        result = CUDA_ERROR_INVALID_CONTEXT;
    return result;
}

static void leave(CUcontext context)
{
    if (depth && stack[depth - 1] == context)
        depth--;
}

/* The memory of a destroyed context is kept: another thread may still have it
 * on its stack and must find out that it is gone. */
static CUresult destroy(CUcontext context)
{
    CUresult result = check_created(context);
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&changing);
    if (context->retained)
        end(context);
    else
        result = CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_unlock(&changing);
    if (result == CUDA_SUCCESS)
        leave(context);
    return result;
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
    return FG_FAULTY("cuCtxDestroy", destroy(context));
}

CUresult cuCtxDestroy(CUcontext context)
{
    return cuCtxDestroy_v2(context);
}

CUresult cuCtxAttach(CUcontext *out, unsigned int flags)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!out || flags)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&changing);
    if (context->retained)
        context->retained++;
    else
        result = CUDA_ERROR_CONTEXT_IS_DESTROYED;
    pthread_mutex_unlock(&changing);
    if (result == CUDA_SUCCESS)
        *out = context;
    return result;
}

CUresult cuCtxDetach(CUcontext context)
{
    CUresult result = check_created(context);
    result = result == CUDA_SUCCESS ? fg_fault_before("cuCtxDetach") : result;
    if (result != CUDA_SUCCESS)
        return result;
    pthread_mutex_lock(&changing);
    unsigned before = context->retained;
    if (before == 1) {
        end(context);
        leave(context);
    } else if (before > 1)
        context->retained--;
    pthread_mutex_unlock(&changing);
    return fg_fault_after("cuCtxDetach", before ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT);
}

CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    return context ? push(context) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxPushCurrent(CUcontext context)
{
    return cuCtxPushCurrent_v2(context);
}

CUresult cuCtxPopCurrent_v2(CUcontext *out)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!depth)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (out)
        *out = stack[depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *out)
{
    return cuCtxPopCurrent_v2(out);
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (depth)
        depth--;
    return context ? push(context) : CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *out)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}
