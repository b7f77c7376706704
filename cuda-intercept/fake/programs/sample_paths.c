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

struct kind {
    const char *base;
    const char *symbol;
    int version; /* of CUDA, which brought the symbol */
    CUresult (*call)(void *function, CUdeviceptr *out, size_t bytes);
};

/* How a program comes by a function; NULL where it cannot have it. */
typedef void *find_function(const struct kind *kind);

struct way {
    const char *name;
    find_function *find;
};

static void *find_linked(const struct kind *kind)
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
    for (size_t i = 0; i < sizeof linked / sizeof *linked; i++)
        if (!strcmp(linked[i].name, kind->symbol))
            return (void *)linked[i].function;
    return NULL;
}

static void *look_up(const char *symbol)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    return library ? dlsym(library, symbol) : NULL;
}

static void *find_by_handle(const struct kind *kind)
{
    return look_up(kind->symbol);
}

static void *find_by_default(const struct kind *kind)
{
    return dlsym(RTLD_DEFAULT, kind->symbol);
}

static void *find_by_next(const struct kind *kind)
{
    return dlsym(RTLD_NEXT, kind->symbol);
}

static void *find_by_address(const struct kind *kind)
{
    void *found = NULL;
    int version = 0;
    get_address *get = (get_address *)look_up("cuGetProcAddress");
    cuDriverGetVersion(&version);
    return get && get(kind->base, &found, version, 0) == CUDA_SUCCESS ? found : NULL;
}

static void *get_v2(const struct kind *kind, int version, cuuint64_t flags)
{
    void *found = NULL;
    CUdriverProcAddressQueryResult status;
    get_address_v2 *get = (get_address_v2 *)look_up("cuGetProcAddress_v2");
    return get && get(kind->base, &found, version, flags, &status) == CUDA_SUCCESS ? found : NULL;
}

static void *find_by_address_v2(const struct kind *kind)
{
    int version = 0;
    cuDriverGetVersion(&version);
    return get_v2(kind, version, CU_GET_PROC_ADDRESS_DEFAULT);
}

/* libcudart asks for each function in the version that brought it. */
static void *find_as_runtime(const struct kind *kind)
{
    return get_v2(kind, kind->version, CU_GET_PROC_ADDRESS_DEFAULT);
}

static void *find_as_runtime_per_thread(const struct kind *kind)
{
    return get_v2(kind, kind->version, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
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

static const struct way ways[] = {
    {"link", find_linked},
    {"dlsym", find_by_handle},
    {"dlsym(RTLD_DEFAULT)", find_by_default},
    {"dlsym(RTLD_NEXT)", find_by_next},
    {"cuGetProcAddress", find_by_address},
    {"cuGetProcAddress_v2", find_by_address_v2},
    {"as libcudart", find_as_runtime},
    {"as libcudart, per-thread", find_as_runtime_per_thread},
};

static int try_one(const struct way *way, const struct kind *kind, size_t mebibytes)
{
    CUdeviceptr address = 0;
    void *function = way->find(kind);
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
        {"cuMemAlloc", "cuMemAlloc_v2", 3020, call_plain},
        {"cuMemAllocPitch", "cuMemAllocPitch_v2", 3020, call_pitch},
        {"cuMemAllocManaged", "cuMemAllocManaged", 6000, call_managed},
        {"cuMemAllocAsync", "cuMemAllocAsync", 11020, call_async},
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
