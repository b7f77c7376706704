#include "procaddress.h"

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_CUDA 2000

/* The newest function of a name that a program built for `wanted` knows and a
 * driver of `driver` has. *known: the driver has the name in some version. */
static const struct fg_proc *search(const char *base, int wanted, int driver, int per_thread,
                                    bool *known)
{
    const struct fg_proc *best = NULL;
    for (unsigned i = 0; i < fg_proc_count; i++) {
        const struct fg_proc *proc = &fg_procs[i];
        if (proc->per_thread != per_thread || strcmp(proc->base, base) || proc->version > driver)
            continue;
        *known = true;
        if (proc->version <= wanted)
            best = proc;
    }
    return best;
}

/* Tells tests what a program asked for, and what it was given. */
static void trace(const char *base, int wanted, cuuint64_t flags, const struct fg_proc *found)
{
    if (getenv("FAKE_GPU_TRACE"))
        fprintf(stderr, "cuGetProcAddress %s %d %llu: %s\n", base, wanted,
                (unsigned long long)flags, found ? found->symbol : "none");
}

static CUresult get(const char *base, void **out, int wanted, cuuint64_t flags,
                    CUdriverProcAddressQueryResult *status)
{
    const cuuint64_t per_thread = CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    int driver = 0;
    if (!base || !out || flags & ~(cuuint64_t)(CU_GET_PROC_ADDRESS_LEGACY_STREAM | per_thread))
        return CUDA_ERROR_INVALID_VALUE;
    cuDriverGetVersion(&driver);
    if (wanted < OLDEST_CUDA || wanted > driver)
        return CUDA_ERROR_INVALID_VALUE;
    bool known = false;
    const struct fg_proc *found = NULL;
    if (flags & per_thread)
        found = search(base, wanted, driver, 1, &known);
    if (!found)
        found = search(base, wanted, driver, 0, &known);
    trace(base, wanted, flags, found);
    *out = found ? (void *)(uintptr_t)found->address : NULL;
    *status = found   ? CU_GET_PROC_ADDRESS_SUCCESS
              : known ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                      : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_SUCCESS;
}

/* Before CUDA 12 there was no status: a name that is not there is an error. */
CUresult cuGetProcAddress(const char *base, void **out, int wanted, cuuint64_t flags)
{
    CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SUCCESS;
    CUresult result = get(base, out, wanted, flags, &status);
    if (result == CUDA_SUCCESS && status != CU_GET_PROC_ADDRESS_SUCCESS)
        return CUDA_ERROR_NOT_FOUND;
    return result;
}

CUresult cuGetProcAddress_v2(const char *base, void **out, int wanted, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    CUdriverProcAddressQueryResult ignored;
    return get(base, out, wanted, flags, status ? status : &ignored);
}
