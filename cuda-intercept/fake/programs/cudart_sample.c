/* cudart-sample: what a program built with nvcc does, by way of a real shared
 * libcudart whose path is given: allocate, look, free. It needs no CUDA headers
 * of its own generation: these calls are the same in CUDA 12 and 13. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((size_t)1 << 20)
#define CUDA_ERROR_MEMORY_ALLOCATION 2
#define CUDA_ERROR_VALIDITY_NOT_ESTABLISHED 103
#define CUDA_ERROR_SYMBOL_NOT_FOUND 500
#define EXIT_DENIED 3
#define EXIT_REFUSED 4 /* libcudart does not take this driver for NVIDIA's */

struct runtime {
    int (*malloc)(void **, size_t);
    int (*malloc_managed)(void **, size_t, unsigned);
    int (*malloc_async)(void **, size_t, void *);
    int (*free)(void *);
    int (*free_async)(void *, void *);
    int (*mem_get_info)(size_t *, size_t *);
    int (*memset)(void *, int, size_t);
    int (*synchronize)(void);
    int (*get_version)(int *);
    const char *(*error_name)(int);
};

static int load(const char *path, struct runtime *runtime)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        printf("%s\n", dlerror());
        return 0;
    }
    const struct {
        const char *name;
        void *slot;
    } wanted[] = {
        {"cudaMalloc", &runtime->malloc},
        {"cudaMallocManaged", &runtime->malloc_managed},
        {"cudaMallocAsync", &runtime->malloc_async},
        {"cudaFree", &runtime->free},
        {"cudaFreeAsync", &runtime->free_async},
        {"cudaMemGetInfo", &runtime->mem_get_info},
        {"cudaMemset", &runtime->memset},
        {"cudaDeviceSynchronize", &runtime->synchronize},
        {"cudaRuntimeGetVersion", &runtime->get_version},
        {"cudaGetErrorName", &runtime->error_name},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *(void **)wanted[i].slot = dlsym(library, wanted[i].name);
        if (!*(void **)wanted[i].slot) {
            printf("%s has no %s\n", path, wanted[i].name);
            return 0;
        }
    }
    return 1;
}

static int fail(const struct runtime *runtime, const char *what, int error)
{
    printf("%s: %s\n", what, runtime->error_name(error));
    switch (error) {
    case CUDA_ERROR_MEMORY_ALLOCATION:
        return EXIT_DENIED;
    case CUDA_ERROR_VALIDITY_NOT_ESTABLISHED:
    case CUDA_ERROR_SYMBOL_NOT_FOUND:
        return EXIT_REFUSED;
    default:
        return EXIT_FAILURE;
    }
}

static int report(const struct runtime *runtime, const char *when)
{
    size_t free = 0, total = 0;
    int error = runtime->mem_get_info(&free, &total);
    if (!error)
        printf("%s: free=%zu total=%zu\n", when, free, total);
    return error;
}

static int allocate(const struct runtime *runtime, size_t bytes)
{
    void *memory = NULL;
    int error = report(runtime, "at first");
    if (error)
        return fail(runtime, "cudaMemGetInfo", error);
    error = runtime->malloc(&memory, bytes);
    if (error)
        return fail(runtime, "cudaMalloc", error);
    printf("cudaMalloc %zu MiB\n", bytes / MIB);
    error = runtime->memset(memory, 0, bytes);
    if (error)
        return fail(runtime, "cudaMemset", error);
    error = report(runtime, "allocated");
    if (!error)
        error = runtime->free(memory);
    if (!error)
        error = report(runtime, "freed");
    return error ? fail(runtime, "cudaFree", error) : 0;
}

static int allocate_otherwise(const struct runtime *runtime, size_t bytes)
{
    void *memory = NULL;
    int error = runtime->malloc_managed(&memory, bytes, 1);
    if (!error)
        error = runtime->free(memory);
    if (error)
        return fail(runtime, "cudaMallocManaged", error);
    puts("cudaMallocManaged");
    error = runtime->malloc_async(&memory, bytes, NULL);
    if (!error)
        error = runtime->free_async(memory, NULL);
    if (!error)
        error = runtime->synchronize();
    if (error)
        return fail(runtime, "cudaMallocAsync", error);
    puts("cudaMallocAsync");
    return 0;
}

int main(int count, char **arguments)
{
    struct runtime runtime;
    int version = 0;
    if (count != 3) {
        fputs("usage: cudart-sample LIBCUDART MIB\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!load(arguments[1], &runtime))
        return EXIT_FAILURE;
    size_t bytes = strtoull(arguments[2], NULL, 10) * MIB;
    runtime.get_version(&version);
    printf("runtime %d\n", version);
    int status = allocate(&runtime, bytes);
    return status ? status : allocate_otherwise(&runtime, bytes);
}
