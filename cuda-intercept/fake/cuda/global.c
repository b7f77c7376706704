/* Variables of modules and libraries. Asking for one loads the data of its image. */
#include "module.h"

#include "fault.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct variable {
    uint64_t offset;
    uint64_t bytes;
};

static bool is_named(const char *at, size_t length, const char *name)
{
    return strlen(name) == length && !strncmp(at, name, length);
}

/* ".global .align 16 .b8 name[1024];" */
static bool find(const char *text, const char *name, struct variable *out)
{
    out->offset = 0;
    for (const char *at = text; at && (at = strstr(at, ".global")); at++) {
        const char *bracket = at + strcspn(at, "[;");
        const char *first = bracket;
        if (*bracket != '[')
            continue;
        while (first > at && (isalnum((unsigned char)first[-1]) || first[-1] == '_'))
            first--;
        out->bytes = strtoull(bracket + 1, NULL, 10);
        if (is_named(first, (size_t)(bracket - first), name))
            return true;
        out->offset += out->bytes;
    }
    return false;
}

static CUresult find_and_load(struct fg_image *image, const char *name, CUdeviceptr *address, size_t *bytes)
{
    struct variable variable;
    struct fg_place *place;
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!image || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!find(image->text, name, &variable) || variable.offset + variable.bytes > image->data_bytes)
        return CUDA_ERROR_NOT_FOUND;
    result = fg_data_load(image, context, &place);
    if (result != CUDA_SUCCESS)
        return result;
    char *memory = fg_place_memory(place);
    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (address)
        *address = (CUdeviceptr)(uintptr_t)(memory + variable.offset);
    if (bytes)
        *bytes = variable.bytes;
    return CUDA_SUCCESS;
}

static CUresult get(struct fg_image *image, const char *name, CUdeviceptr *address, size_t *bytes)
{
    return FG_FAULTY("cuModuleGetGlobal", find_and_load(image, name, address, bytes));
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule module, const char *name)
{
    return get((struct fg_image *)module, name, address, bytes);
}

CUresult cuModuleGetGlobal(CUdeviceptr_v1 *address, unsigned int *bytes, CUmodule module, const char *name)
{
    CUdeviceptr whole = 0;
    size_t size = 0;
    CUresult result = cuModuleGetGlobal_v2(&whole, &size, module, name);
    if (address)
        *address = (CUdeviceptr_v1)whole;
    if (bytes)
        *bytes = (unsigned int)size;
    return result;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *address, size_t *bytes, CUlibrary library, const char *name)
{
    return get((struct fg_image *)library, name, address, bytes);
}

CUresult cuLibraryGetManaged(CUdeviceptr *address, size_t *bytes, CUlibrary library, const char *name)
{
    return get((struct fg_image *)library, name, address, bytes);
}

CUresult cuLibraryGetUnifiedFunction(void **out, CUlibrary library, const char *name)
{
    return get((struct fg_image *)library, name, (CUdeviceptr *)out, NULL);
}

/* References are variables, too. */
CUresult cuModuleGetTexRef(CUtexref *out, CUmodule module, const char *name)
{
    return get((struct fg_image *)module, name, (CUdeviceptr *)out, NULL);
}

CUresult cuModuleGetSurfRef(CUsurfref *out, CUmodule module, const char *name)
{
    return get((struct fg_image *)module, name, (CUdeviceptr *)out, NULL);
}

CUresult cuLibraryGetModule(CUmodule *out, CUlibrary library)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!out || !library)
        return CUDA_ERROR_INVALID_VALUE;
    result = fg_image_load((struct fg_image *)library, context);
    if (result == CUDA_SUCCESS)
        *out = (CUmodule)library;
    return result;
}
