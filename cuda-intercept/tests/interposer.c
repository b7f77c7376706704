/* Somebody else's preloaded wrapper: counts allocations and passes them on. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "../src/abi.h"

CI_EXPORT int interposer_calls;

CI_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size)
{
    CUresult (*next)(CUdeviceptr *, size_t) = (CUresult(*)(CUdeviceptr *, size_t))dlsym(RTLD_NEXT, "cuMemAlloc_v2");
    interposer_calls++;
    return next == NULL ? 999 : next(address, size);
}
