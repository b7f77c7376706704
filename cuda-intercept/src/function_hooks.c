/*
 * Code that drivers load lazily. A function that a program looks up is loaded
 * there and then, where what it takes can be seen: the launch itself is the
 * driver's own where a share has no core limit.
 */
#include <stdatomic.h>

#include "code.h"
#include "cuda_device.h"
#include "handles.h"
#include "lazy.h"
#include "relaxed.h"
#include "resolve.h"

#define PAGE_BYTES ((uint64_t)2 << 20) /* the driver takes no less from the device */
#define ATTRIBUTE_LOCAL_BYTES 3
#define STATE_LOADED 1

/* The most that a function was seen to take, which is what the next one may take. */
static _Atomic uint64_t largest = PAGE_BYTES;

static bool is_loaded(CUfunction function)
{
    ci_pfn_cuFuncIsLoaded ask = CI_CALL(cuFuncIsLoaded);
    CUfunctionLoadingState state = 0;
    return ask != NULL && ask(&state, function) == CUDA_SUCCESS && state == STATE_LOADED;
}

/* Asking for an attribute loads the function in drivers that cannot be told to. */
static size_t load_and_measure(CUfunction function)
{
    ci_pfn_cuFuncLoad load = CI_CALL(cuFuncLoad);
    ci_pfn_cuFuncGetAttribute ask = CI_CALL(cuFuncGetAttribute);
    int local = 0;
    if (load != NULL)
        load(function);
    if (ask == NULL || ask(&local, ATTRIBUTE_LOCAL_BYTES, function) != CUDA_SUCCESS || local < 0)
        return 0;
    return (size_t)local;
}

struct load {
    CUfunction function;
    enum ci_space space;
    const void *owner;
};

static void load_charged(const struct ci_device *device, void *argument)
{
    const struct load *load = argument;
    struct ci_code code;
    bool was_loaded = is_loaded(load->function);
    if (!was_loaded)
        ci_code_begin(&code, device, atomic_load(&largest));
    size_t local = load_and_measure(load->function);
    uint64_t bytes = was_loaded ? 0 : ci_code_end(&code, load->space, load->owner);
    uint64_t known = atomic_load(&largest);
    while (bytes > known && !atomic_compare_exchange_weak(&largest, &known, bytes))
        continue;
    if (local > 0)
        ci_lazy_expect_local(local);
}

static void take(CUfunction function, enum ci_space space, const void *owner)
{
    ci_relaxed_on_share(load_charged, &(struct load){function, space, owner});
}

CUresult cuModuleGetFunction(CUfunction *hfunc, CUmodule hmod, const char *name)
{
    ci_pfn_cuModuleGetFunction real = CI_CALL(cuModuleGetFunction);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(hfunc, hmod, name);
    if (result == CUDA_SUCCESS) {
        ci_handle_met(*hfunc);
        take(*hfunc, CI_SPACE_MODULE, hmod);
    }
    return result;
}

/* Its module may be asked for functions of its own. */
static void take_of_library(CUfunction function, CUlibrary library)
{
    ci_pfn_cuFuncGetModule module_of = CI_CALL(cuFuncGetModule);
    CUmodule module = NULL;
    if (module_of != NULL && module_of(&module, function) == CUDA_SUCCESS)
        ci_code_belongs(module, library);
    take(function, CI_SPACE_LIBRARY, library);
}

/* A kernel is of no context: its function in the current one is. */
static void take_kernel(CUkernel kernel, CUlibrary library)
{
    ci_pfn_cuKernelGetFunction function_of = CI_CALL(cuKernelGetFunction);
    CUfunction function;
    if (ci_current_context() == NULL || function_of == NULL)
        return;
    if (function_of(&function, kernel) == CUDA_SUCCESS)
        take_of_library(function, library);
}

CUresult cuLibraryGetKernel(CUkernel *pKernel, CUlibrary library, const char *name)
{
    ci_pfn_cuLibraryGetKernel real = CI_CALL(cuLibraryGetKernel);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(pKernel, library, name);
    if (result == CUDA_SUCCESS) {
        ci_handle_met(*pKernel);
        take_kernel(*pKernel, library);
        ci_lazy_expect_kernels();
    }
    return result;
}

CUresult cuKernelGetFunction(CUfunction *pFunc, CUkernel kernel)
{
    ci_pfn_cuKernelGetFunction real = CI_CALL(cuKernelGetFunction);
    ci_pfn_cuKernelGetLibrary library_of = CI_CALL(cuKernelGetLibrary);
    CUlibrary library = NULL;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(pFunc, kernel);
    if (result == CUDA_SUCCESS)
        ci_handle_met(*pFunc);
    if (result == CUDA_SUCCESS && library_of != NULL && library_of(&library, kernel) == CUDA_SUCCESS)
        take_of_library(*pFunc, library);
    return result;
}

/* Fewer may have been handed out than there was room for. */
static void meet_all(void *const *functions, unsigned int room)
{
    for (unsigned int i = 0; i < room && functions[i] != NULL; i++)
        ci_handle_met(functions[i]);
}

/* There may be thousands of functions, few of which are ever launched: none is loaded
 * here, and what launches are then seen to take is charged. */
CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned int numFunctions, CUmodule mod)
{
    ci_pfn_cuModuleEnumerateFunctions real = CI_CALL(cuModuleEnumerateFunctions);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(functions, numFunctions, mod);
    meet_all(functions, result == CUDA_SUCCESS ? numFunctions : 0);
    if (result == CUDA_SUCCESS)
        ci_lazy_expect_code();
    return result;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int numKernels, CUlibrary lib)
{
    ci_pfn_cuLibraryEnumerateKernels real = CI_CALL(cuLibraryEnumerateKernels);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    CUresult result = real(kernels, numKernels, lib);
    meet_all(kernels, result == CUDA_SUCCESS ? numKernels : 0);
    if (result == CUDA_SUCCESS) {
        ci_lazy_expect_code();
        ci_lazy_expect_kernels();
    }
    return result;
}

/* For functions that were got without their names. */
CUresult cuFuncLoad(CUfunction function)
{
    ci_pfn_cuFuncLoad real = CI_CALL(cuFuncLoad);
    ci_pfn_cuFuncGetModule module_of = CI_CALL(cuFuncGetModule);
    CUmodule module = NULL;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (module_of != NULL && module_of(&module, function) == CUDA_SUCCESS)
        take(function, CI_SPACE_MODULE, module);
    return real(function);
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    ci_pfn_cuCtxSetLimit real = CI_CALL(cuCtxSetLimit);
    static const enum ci_lazy kinds[] = {
        [CU_LIMIT_STACK_SIZE] = CI_LAZY_LOCAL,
        [CU_LIMIT_PRINTF_FIFO_SIZE] = CI_LAZY_FIFO,
        [CU_LIMIT_MALLOC_HEAP_SIZE] = CI_LAZY_HEAP,
    };
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (limit < CU_LIMIT_STACK_SIZE || limit > CU_LIMIT_MALLOC_HEAP_SIZE)
        return real(limit, value);
    if (ci_lazy_begin_limit(kinds[limit], value) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(limit, value);
    ci_lazy_end_limit(result);
    return result;
}
