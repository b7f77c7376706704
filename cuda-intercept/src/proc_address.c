/*
 * cuGetProcAddress: the driver decides on version, stream semantics and status;
 * only the pointer that it returned is replaced by the hook of the same symbol.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "resolve.h"

/* For a driver whose pointers are not those of its exports: the newest version
 * of the name that is not newer than what was asked for. */
static enum ci_symbol find_by_version(const char *name, int version, cuuint64_t flags)
{
    bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
    enum ci_symbol best = CI_SYMBOL_COUNT;
    for (int i = 0; i < CI_SYMBOL_COUNT; i++) {
        const struct ci_hook *hook = &ci_hooks[i];
        if (hook->hook == NULL || hook->version > version || strcmp(hook->base, name) != 0)
            continue;
        if (hook->per_thread && !per_thread)
            continue;
        if (best == CI_SYMBOL_COUNT || hook->per_thread > ci_hooks[best].per_thread ||
            (hook->per_thread == ci_hooks[best].per_thread && hook->version > ci_hooks[best].version))
            best = i;
    }
    return best;
}

/* What the driver exports by a name that we do not stand for, as a version newer than
 * our tables, may have other parameters: a hook would break the program. */
static bool is_other_export(const void *pointer, enum ci_symbol symbol)
{
    Dl_info info;
    return dladdr(pointer, &info) != 0 && info.dli_saddr == pointer && info.dli_sname != NULL &&
           strcmp(info.dli_sname, ci_hooks[symbol].name) != 0;
}

static void replace(const char *name, void **pfn, int version, cuuint64_t flags)
{
    if (name == NULL || pfn == NULL || *pfn == NULL)
        return;
    enum ci_symbol symbol = ci_symbol_of(*pfn);
    if (symbol == CI_SYMBOL_COUNT) {
        symbol = find_by_version(name, version, flags);
        if (symbol == CI_SYMBOL_COUNT || is_other_export(*pfn, symbol))
            return;
        ci_adopt(symbol, *pfn);
    }
    *pfn = ci_offer(symbol);
}

CUresult cuGetProcAddress(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags)
{
    ci_pfn_cuGetProcAddress real = CI_CALL(cuGetProcAddress);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(symbol, pfn, cudaVersion, flags);
    if (result == CUDA_SUCCESS)
        replace(symbol, pfn, cudaVersion, flags);
    return result;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *symbolStatus)
{
    ci_pfn_cuGetProcAddress_v2 real = CI_CALL(cuGetProcAddress_v2);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(symbol, pfn, cudaVersion, flags, symbolStatus);
    if (result == CUDA_SUCCESS)
        replace(symbol, pfn, cudaVersion, flags);
    return result;
}
