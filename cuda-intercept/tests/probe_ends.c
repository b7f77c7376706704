/* Driver calls when a thread or the program is ending: from a destructor of
 * thread storage, a handler of exit, and a destructor of the program, which opens
 * the driver anew. Prints what each allocation says. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../src/generated/hooks.h"

#define MIB ((size_t)1 << 20)
#define HELD (1000 * MIB)
#define CALL(name) ((ci_pfn_##name)dlsym(driver, #name))

static void *driver;
static CUcontext context;
static CUdeviceptr held;
static pthread_key_t key;

static void try_both(const char *when, size_t too_much, size_t enough)
{
    CUdeviceptr address;
    CALL(cuCtxSetCurrent)(context);
    printf("%s %d", when, CALL(cuMemAlloc_v2)(&address, too_much));
    printf(" %d\n", CALL(cuMemAlloc_v2)(&address, enough));
}

static void end_thread(void *value)
{
    (void)value;
    try_both("thread", 2001 * MIB, 500 * MIB);
}

static void *work(void *argument)
{
    pthread_setspecific(key, argument);
    return NULL;
}

static void at_exit(void)
{
    try_both("exit", 1501 * MIB, 100 * MIB);
    CALL(cuMemFree_v2)(held);
}

__attribute__((destructor)) static void end(void)
{
    dlclose(driver);
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    try_both("destructor", 2401 * MIB, 2400 * MIB);
}

int main(void)
{
    pthread_t thread;
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver == NULL || CALL(cuInit)(0) != CUDA_SUCCESS ||
        CALL(cuDevicePrimaryCtxRetain)(&context, 0) != CUDA_SUCCESS || CALL(cuCtxSetCurrent)(context) != CUDA_SUCCESS ||
        CALL(cuMemAlloc_v2)(&held, HELD) != CUDA_SUCCESS)
        return 1;
    atexit(at_exit);
    if (pthread_key_create(&key, end_thread) != 0 || pthread_create(&thread, NULL, work, &key) != 0)
        return 1;
    pthread_join(thread, NULL);
    return 7;
}
