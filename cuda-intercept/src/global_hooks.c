/*
 * Global data that drivers load when a variable of it is first asked for, or the
 * module that it is part of. How much that is nobody says before.
 */
#include "code.h"
#include "lookups.h"
#include "process.h"
#include "resolve.h"

#define VARIABLE(function, space, parameters, owner, arguments)                                                        \
    CUresult function parameters                                                                                       \
    {                                                                                                                  \
        ci_pfn_##function real = CI_CALL(function);                                                                    \
        struct ci_code code;                                                                                           \
        if (real == NULL)                                                                                              \
            return CUDA_ERROR_NO_DEVICE;                                                                               \
        ci_process_join();                                                                                             \
        uint64_t mark = ci_lookup_mark(CI_##function, owner, name);                                                    \
        if (ci_lookup_is_known(mark))                                                                                  \
            return real arguments;                                                                                     \
        ci_code_begin(&code, 0);                                                                                       \
        CUresult result = real arguments;                                                                              \
        ci_code_end(&code, space, owner);                                                                              \
        if (result == CUDA_SUCCESS)                                                                                    \
            ci_lookup_remember(mark);                                                                                  \
        return result;                                                                                                 \
    }

VARIABLE(cuModuleGetGlobal, CI_SPACE_MODULE,
         (CUdeviceptr_v1 *dptr, unsigned int *bytes, CUmodule hmod, const char *name), hmod, (dptr, bytes, hmod, name))
VARIABLE(cuModuleGetGlobal_v2, CI_SPACE_MODULE, (CUdeviceptr *dptr, size_t *bytes, CUmodule hmod, const char *name),
         hmod, (dptr, bytes, hmod, name))
VARIABLE(cuModuleGetTexRef, CI_SPACE_MODULE, (CUtexref *pTexRef, CUmodule hmod, const char *name), hmod,
         (pTexRef, hmod, name))
VARIABLE(cuModuleGetSurfRef, CI_SPACE_MODULE, (CUsurfref *pSurfRef, CUmodule hmod, const char *name), hmod,
         (pSurfRef, hmod, name))
VARIABLE(cuLibraryGetGlobal, CI_SPACE_LIBRARY, (CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name),
         library, (dptr, bytes, library, name))
VARIABLE(cuLibraryGetManaged, CI_SPACE_LIBRARY,
         (CUdeviceptr *dptr, size_t *bytes, CUlibrary library, const char *name), library,
         (dptr, bytes, library, name))
VARIABLE(cuLibraryGetUnifiedFunction, CI_SPACE_LIBRARY, (void **fptr, CUlibrary library, const char *name), library,
         (fptr, library, name))

CUresult cuLibraryGetModule(CUmodule *pMod, CUlibrary library)
{
    ci_pfn_cuLibraryGetModule real = CI_CALL(cuLibraryGetModule);
    struct ci_code code;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_code_begin(&code, 0);
    CUresult result = real(pMod, library);
    ci_code_end(&code, CI_SPACE_LIBRARY, library);
    if (result == CUDA_SUCCESS)
        ci_code_belongs(*pMod, library);
    return result;
}
