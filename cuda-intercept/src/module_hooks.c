/* Code on the device: modules and libraries, by what loading them is seen to take. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/stat.h>

#include "../include/share_env.h"
#include "code.h"
#include "cuda_device.h"
#include "greens.h"
#include "lazy.h"
#include "lookups.h"
#include "process.h"
#include "resolve.h"

#define ELF_SECTIONS_OFFSET 40
#define ELF_SECTION_BYTES 58
#define ELF_SECTION_COUNT 60
#define LOADING_EAGER 1
#define IMAGE_BYTES_MAX ((uint64_t)1 << 30) /* larger is no image, but damage */

/* The size that an ELF image says it has; other images are translated, and say nothing of it. */
static uint64_t image_bytes(const void *image)
{
    const unsigned char *bytes = image;
    uint64_t size = 0;
    if (image != NULL && bytes[0] == '\x7f' && memcmp(bytes + 1, "ELF", 3) == 0) {
        uint16_t each;
        uint16_t count;
        memcpy(&size, bytes + ELF_SECTIONS_OFFSET, sizeof(size));
        memcpy(&each, bytes + ELF_SECTION_BYTES, sizeof(each));
        memcpy(&count, bytes + ELF_SECTION_COUNT, sizeof(count));
        size += (uint64_t)each * count;
    }
    return size < IMAGE_BYTES_MAX ? size : 0;
}

static uint64_t file_bytes(const char *path)
{
    struct stat status;
    return path == NULL || stat(path, &status) != 0 ? 0 : (uint64_t)status.st_size;
}

static CUresult begin(struct ci_implicit *implicit, uint64_t bytes)
{
    struct ci_device device = ci_device_of_context(ci_process_join());
    /* An image may hold more than what is loaded of it: that alone refuses nothing. */
    if (bytes > 0 && ci_implicit_begin(implicit, HAMI_TOTAL_MODULE, &device, bytes) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    return ci_implicit_begin(implicit, HAMI_TOTAL_MODULE, &device, 0);
}

static CUresult finish(struct ci_implicit *implicit, CUresult result, enum ci_space space, void **handle)
{
    ci_pfn_cuModuleUnload unload_module = CI_CALL(cuModuleUnload);
    ci_pfn_cuLibraryUnload unload_library = CI_CALL(cuLibraryUnload);
    if (result == CUDA_SUCCESS && !ci_implicit_fits(implicit)) {
        if (space == CI_SPACE_MODULE && unload_module != NULL)
            unload_module(*handle);
        if (space == CI_SPACE_LIBRARY && unload_library != NULL)
            unload_library(*handle);
        *handle = NULL;
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result != CUDA_SUCCESS) {
        ci_implicit_cancel(implicit);
        return result;
    }
    if (space == CI_SPACE_MODULE)
        ci_code_stands_alone(*handle);
    ci_implicit_keep(implicit, space, *handle, ci_owning_context());
    return result;
}

CUresult cuModuleLoad(CUmodule *module, const char *fname)
{
    ci_pfn_cuModuleLoad real = CI_CALL(cuModuleLoad);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&implicit, file_bytes(fname)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish(&implicit, real(module, fname), CI_SPACE_MODULE, module);
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    ci_pfn_cuModuleLoadData real = CI_CALL(cuModuleLoadData);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&implicit, image_bytes(image)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish(&implicit, real(module, image), CI_SPACE_MODULE, module);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int numOptions, CUjit_option *options,
                            void **optionValues)
{
    ci_pfn_cuModuleLoadDataEx real = CI_CALL(cuModuleLoadDataEx);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&implicit, image_bytes(image)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish(&implicit, real(module, image, numOptions, options, optionValues), CI_SPACE_MODULE, module);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *fatCubin)
{
    ci_pfn_cuModuleLoadFatBinary real = CI_CALL(cuModuleLoadFatBinary);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin(&implicit, image_bytes(fatCubin)) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    return finish(&implicit, real(module, fatCubin), CI_SPACE_MODULE, module);
}

/* A library that is loaded eagerly comes into all contexts at once. What the current one
 * takes is seen at the load; the rest is looked for from here on. */
static CUresult begin_library(struct ci_implicit *implicit)
{
    ci_pfn_cuModuleGetLoadingMode ask = CI_CALL(cuModuleGetLoadingMode);
    CUmoduleLoadingMode mode = 0;
    ci_process_join();
    if (ask != NULL && ask(&mode) == CUDA_SUCCESS && mode == LOADING_EAGER)
        ci_lazy_expect_kernels();
    return begin(implicit, 0); /* nobody says how much it is, and mostly it is loaded lazily */
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *jitOptions, void **jitOptionsValues,
                           unsigned int numJitOptions, CUlibraryOption *libraryOptions, void **libraryOptionValues,
                           unsigned int numLibraryOptions)
{
    ci_pfn_cuLibraryLoadData real = CI_CALL(cuLibraryLoadData);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_library(&implicit) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(library, code, jitOptions, jitOptionsValues, numJitOptions, libraryOptions,
                           libraryOptionValues, numLibraryOptions);
    return finish(&implicit, result, CI_SPACE_LIBRARY, library);
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *fileName, CUjit_option *jitOptions,
                               void **jitOptionsValues, unsigned int numJitOptions, CUlibraryOption *libraryOptions,
                               void **libraryOptionValues, unsigned int numLibraryOptions)
{
    ci_pfn_cuLibraryLoadFromFile real = CI_CALL(cuLibraryLoadFromFile);
    struct ci_implicit implicit;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (begin_library(&implicit) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(library, fileName, jitOptions, jitOptionsValues, numJitOptions, libraryOptions,
                           libraryOptionValues, numLibraryOptions);
    return finish(&implicit, result, CI_SPACE_LIBRARY, library);
}

/* All that was charged to it, in whichever contexts it came to lie; before the unload. */
static struct ci_allocation *take_all(enum ci_space space, const void *handle)
{
    ci_lookups_forget();
    struct ci_allocation *taken = NULL;
    struct ci_allocation *entry;
    while ((entry = ci_pointers_take(space, (uintptr_t)handle)) != NULL) {
        entry->next = taken;
        taken = entry;
    }
    return taken;
}

static CUresult settle_unload(struct ci_allocation *taken, CUresult result)
{
    while (taken != NULL) {
        struct ci_allocation *entry = taken;
        taken = entry->next;
        if (result == CUDA_SUCCESS)
            ci_charge_drop(entry);
        else
            ci_pointers_insert(entry);
    }
    return result;
}

CUresult cuModuleUnload(CUmodule hmod)
{
    ci_pfn_cuModuleUnload real = CI_CALL(cuModuleUnload);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *taken = take_all(CI_SPACE_MODULE, hmod);
    return settle_unload(taken, real(hmod));
}

CUresult cuLibraryUnload(CUlibrary library)
{
    ci_pfn_cuLibraryUnload real = CI_CALL(cuLibraryUnload);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    ci_process_join();
    struct ci_allocation *taken = take_all(CI_SPACE_LIBRARY, library);
    return settle_unload(taken, real(library));
}
