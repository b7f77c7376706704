/* The same allocation by every way that leads into the driver. */
#include "sample.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef CUresult allocate_plain(CUdeviceptr *, size_t);
typedef CUresult allocate_pitch(CUdeviceptr *, size_t *, size_t, size_t, unsigned);
typedef CUresult allocate_managed(CUdeviceptr *, size_t, unsigned);
typedef CUresult allocate_async(CUdeviceptr *, size_t, CUstream);
typedef CUresult get_address(const char *, void **, int, cuuint64_t);
typedef CUresult get_address_v2(const char *, void **, int, cuuint64_t,
                                CUdriverProcAddressQueryResult *);

/* How a program comes by a function; NULL where it cannot have it. `base` and
 * `symbol` name the same one. */
typedef void *find_function(const char *base, const char *symbol);

struct way {
    const char *name;
    find_function *find;
};

static void *find_linked(const char *base, const char *symbol)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } linked[] = {
        {"cuMemAlloc_v2", (void (*)(void))cuMemAlloc_v2},
        {"cuMemAllocPitch_v2", (void (*)(void))cuMemAllocPitch_v2},
        {"cuMemAllocManaged", (void (*)(void))cuMemAllocManaged},
        {"cuMemAllocAsync", (void (*)(void))cuMemAllocAsync},
    };
    (void)base;
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++)
        if (!strcmp(linked[i].name, symbol))
            return (void *)linked[i].function;
    return NULL;
}

static void *find_by_handle(const char *base, const char *symbol)
{
    (void)base;
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    return library ? dlsym(library, symbol) : NULL;
}

static void *find_by_default(const char *base, const char *symbol)
{
    (void)base;
    return dlsym(RTLD_DEFAULT, symbol);
}

static void *find_by_next(const char *base, const char *symbol)
{
    (void)base;
    return dlsym(RTLD_NEXT, symbol);
}

static void *find_by_address(const char *base, const char *symbol)
{
    void *found = NULL;
    int version = 0;
    get_address *get = (get_address *)find_by_handle(NULL, "cuGetProcAddress");
    cuDriverGetVersion(&version);
    (void)symbol;
    return get && get(base, &found, version, 0) == CUDA_SUCCESS ? found : NULL;
}

static void *find_by_address_v2(const char *base, const char *symbol)
{
    void *found = NULL;
    int version = 0;
    CUdriverProcAddressQueryResult status;
    get_address_v2 *get = (get_address_v2 *)find_by_handle(NULL, "cuGetProcAddress_v2");
    cuDriverGetVersion(&version);
    (void)symbol;
    return get && get(base, &found, version, 0, &status) == CUDA_SUCCESS ? found : NULL;
}

static CUresult call_plain(void *function, CUdeviceptr *out, size_t bytes)
{
    return ((allocate_plain *)function)(out, bytes);
}

static CUresult call_pitch(void *function, CUdeviceptr *out, size_t bytes)
{
    size_t pitch;
    return ((allocate_pitch *)function)(out, &pitch, 1 << 20, bytes >> 20, 4);
}

static CUresult call_managed(void *function, CUdeviceptr *out, size_t bytes)
{
    return ((allocate_managed *)function)(out, bytes, CU_MEM_ATTACH_GLOBAL);
}

static CUresult call_async(void *function, CUdeviceptr *out, size_t bytes)
{
    return ((allocate_async *)function)(out, bytes, NULL);
}

struct kind {
    const char *base;
    const char *symbol;
    CUresult (*call)(void *function, CUdeviceptr *out, size_t bytes);
};

static const struct way ways[] = {
    {"link", find_linked},
    {"dlsym", find_by_handle},
    {"dlsym(RTLD_DEFAULT)", find_by_default},
    {"dlsym(RTLD_NEXT)", find_by_next},
    {"cuGetProcAddress", find_by_address},
    {"cuGetProcAddress_v2", find_by_address_v2},
};

static int try_one(const struct way *way, const struct kind *kind, size_t mebibytes)
{
    CUdeviceptr address = 0;
    void *function = way->find(kind->base, kind->symbol);
    CUresult result = CUDA_ERROR_NOT_FOUND;
    if (function)
        result = kind->call(function, &address, mebibytes << 20);
    printf("%s %s: %s\n", way->name, kind->symbol,
           result == CUDA_SUCCESS ? "allocated" : sample_error(result));
    if (result == CUDA_SUCCESS)
        cuMemFree_v2(address);
    return result != CUDA_SUCCESS;
}

int sample_paths(size_t mebibytes)
{
    static const struct kind kinds[] = {
        {"cuMemAlloc", "cuMemAlloc_v2", call_plain},
        {"cuMemAllocPitch", "cuMemAllocPitch_v2", call_pitch},
        {"cuMemAllocManaged", "cuMemAllocManaged", call_managed},
        {"cuMemAllocAsync", "cuMemAllocAsync", call_async},
    };
    CUresult begun = sample_begin();
    if (begun != CUDA_SUCCESS)
        return sample_fail("cuInit", begun);
    int denied = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++)
            denied += try_one(&ways[i], &kinds[j], mebibytes);
    return denied ? EXIT_DENIED : 0;
}
