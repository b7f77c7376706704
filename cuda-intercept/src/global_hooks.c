/*
 * Global data that drivers load when a variable of it is first asked for, or the
 * module that it is part of. How much that is nobody says before.
 */
#include "code.h"
#include "lookups.h"
#include "process.h"
#include "relaxed.h"
#include "resolve.h"

static void open_code(const struct ci_device *device, void *code)
{
    ci_code_begin(code, device, 0);
}

/* Between begin and end the thread is as it was: what the driver forbids the program stays
 * forbidden. */
static void begin(struct ci_code *code)
{
    code->is_open = false;
    ci_relaxed_on_share(open_code, code);
}

static void end(struct ci_code *code, enum ci_space space, const void *owner)
{
    if (!code->is_open)
        return;
    struct ci_relaxed relaxed = ci_relax();
    ci_code_end(code, space, owner);
    ci_relax_end(relaxed);
}

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
        begin(&code);                                                                                                  \
        CUresult result = real arguments;                                                                              \
        end(&code, space, owner);                                                                                      \
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
    begin(&code);
    CUresult result = real(pMod, library);
    end(&code, CI_SPACE_LIBRARY, library);
    if (result == CUDA_SUCCESS)
        ci_code_belongs(*pMod, library);
    return result;
}
