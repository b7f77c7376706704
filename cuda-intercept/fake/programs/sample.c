/* gpu-sample: a CUDA program that does one thing at a time, for people and
 * tests to look at from the inside of a container. */
#include "sample.h"

#include "../kernels.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

const char *sample_error(CUresult result)
{
    const char *name = NULL;
    return cuGetErrorName(result, &name) == CUDA_SUCCESS ? name : "an unknown error";
}

int sample_fail(const char *what, CUresult result)
{
    printf("%s: %s\n", what, sample_error(result));
    return result == CUDA_ERROR_OUT_OF_MEMORY ? EXIT_DENIED : EXIT_FAILURE;
}

CUresult sample_begin(void)
{
    CUdevice device;
    CUcontext context;
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS)
        result = cuDeviceGet(&device, 0);
    if (result == CUDA_SUCCESS)
        result = cuDevicePrimaryCtxRetain(&context, device);
    if (result == CUDA_SUCCESS)
        result = cuCtxSetCurrent(context);
    return result;
}

static CUresult load(CUfunction *kernel, const char *name)
{
    CUmodule module;
    CUresult result = cuModuleLoadData(&module, KERNELS);
    return result == CUDA_SUCCESS ? cuModuleGetFunction(kernel, module, name) : result;
}

CUresult sample_load_kernel(CUfunction *kernel)
{
    return load(kernel, TIMED_KERNEL);
}

CUresult sample_launch(CUfunction kernel, unsigned long long duration_ns)
{
    void *parameters[] = {&duration_ns};
    return cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL);
}

static CUresult print_device(int ordinal)
{
    char name[96];
    CUuuid uuid;
    CUdevice device;
    CUcontext context;
    size_t free = 0, total = 0;
    CUresult result = cuDeviceGet(&device, ordinal);
    if (result == CUDA_SUCCESS)
        result = cuDeviceGetName(name, sizeof name, device);
    if (result == CUDA_SUCCESS)
        result = cuDeviceGetUuid_v2(&uuid, device);
    if (result == CUDA_SUCCESS)
        result = cuDevicePrimaryCtxRetain(&context, device);
    if (result == CUDA_SUCCESS)
        result = cuCtxSetCurrent(context);
    if (result == CUDA_SUCCESS)
        result = cuMemGetInfo_v2(&free, &total);
    if (result != CUDA_SUCCESS)
        return result;
    printf("device %d: %s uuid=%s", ordinal, name, strstr(name, " MIG ") ? "MIG" : "GPU");
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 0 || i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
               (unsigned char)uuid.bytes[i]);
    printf(" total=%zu free=%zu\n", total, free);
    return cuDevicePrimaryCtxRelease_v2(device);
}

static int info(void)
{
    int count = 0;
    CUresult result = cuInit(0);
    if (result != CUDA_SUCCESS)
        return sample_fail("cuInit", result);
    result = cuDeviceGetCount(&count);
    for (int i = 0; result == CUDA_SUCCESS && i < count; i++)
        result = print_device(i);
    return result == CUDA_SUCCESS ? 0 : sample_fail("info", result);
}

static int allocate(size_t mebibytes)
{
    CUdeviceptr address;
    CUresult result = sample_begin();
    if (result != CUDA_SUCCESS)
        return sample_fail("cuInit", result);
    result = cuMemAlloc_v2(&address, mebibytes * MIB);
    if (result != CUDA_SUCCESS) {
        char what[64];
        snprintf(what, sizeof what, "cuMemAlloc %zu MiB", mebibytes);
        return sample_fail(what, result);
    }
    printf("allocated %zu MiB\n", mebibytes);
    return 0;
}

static void wait_for_signal(unsigned seconds)
{
    sigset_t mask, former;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGALRM);
    sigprocmask(SIG_BLOCK, &mask, &former);
    alarm(seconds);
    while (!stopped)
        sigsuspend(&former);
}

static int hold(size_t mebibytes, unsigned seconds)
{
    int status = allocate(mebibytes);
    if (status)
        return status;
    printf("holding %zu MiB\n", mebibytes);
    wait_for_signal(seconds);
    puts("released");
    return 0;
}

static CUresult do_round(CUfunction kernel)
{
    CUdeviceptr address;
    CUresult result = cuMemAlloc_v2(&address, 16 * MIB);
    if (result != CUDA_SUCCESS)
        return result;
    result = sample_launch(kernel, 1000000);
    if (result == CUDA_SUCCESS)
        result = cuCtxSynchronize();
    CUresult freed = cuMemFree_v2(address);
    return result == CUDA_SUCCESS ? freed : result;
}

static int loop(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    CUfunction kernel = NULL;
    CUresult result = sample_begin();
    if (result == CUDA_SUCCESS)
        result = sample_load_kernel(&kernel);
    time_t said = 0;
    for (unsigned long round = 1; result == CUDA_SUCCESS && !stopped; round++) {
        result = do_round(kernel);
        if (result == CUDA_SUCCESS && time(NULL) != said) {
            printf("ok %lu\n", round);
            said = time(NULL);
        }
        nanosleep(&pause, NULL);
    }
    return result == CUDA_SUCCESS ? 0 : sample_fail("loop", result);
}

static int launch(unsigned long count, unsigned long long duration_ns)
{
    CUfunction kernel = NULL;
    CUevent first = NULL, last = NULL;
    float milliseconds = 0;
    CUresult result = sample_begin();
    if (result == CUDA_SUCCESS)
        result = sample_load_kernel(&kernel);
    if (result == CUDA_SUCCESS)
        result = cuEventCreate(&first, CU_EVENT_DEFAULT);
    if (result == CUDA_SUCCESS)
        result = cuEventCreate(&last, CU_EVENT_DEFAULT);
    if (result == CUDA_SUCCESS)
        result = cuEventRecord(first, NULL);
    for (unsigned long i = 0; result == CUDA_SUCCESS && i < count; i++)
        result = sample_launch(kernel, duration_ns);
    if (result == CUDA_SUCCESS)
        result = cuEventRecord(last, NULL);
    if (result == CUDA_SUCCESS)
        result = cuEventSynchronize(last);
    if (result == CUDA_SUCCESS)
        result = cuEventElapsedTime(&milliseconds, first, last);
    if (result != CUDA_SUCCESS)
        return sample_fail("launch", result);
    printf("launched %lu kernels in %.3f ms\n", count, (double)milliseconds);
    return 0;
}

/* Tells whether each launch ran, and ran once. */
static int count_launches(unsigned launches)
{
    CUfunction kernel = NULL;
    CUdeviceptr counter = 0;
    unsigned counted = 0;
    void *parameters[] = {&counter};
    CUresult result = sample_begin();
    if (result == CUDA_SUCCESS)
        result = load(&kernel, COUNT_KERNEL);
    if (result == CUDA_SUCCESS)
        result = cuMemAlloc_v2(&counter, sizeof counted);
    if (result == CUDA_SUCCESS)
        result = cuMemsetD32_v2(counter, 0, 1);
    for (unsigned i = 0; result == CUDA_SUCCESS && i < launches; i++)
        result = cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL);
    if (result == CUDA_SUCCESS)
        result = cuMemcpyDtoH_v2(&counted, counter, sizeof counted);
    if (result != CUDA_SUCCESS)
        return sample_fail("count", result);
    printf("counted %u\n", counted);
    return 0;
}

static int usage(void)
{
    fputs("usage: gpu-sample info\n"
          "       gpu-sample alloc MIB            allocate once\n"
          "       gpu-sample hold MIB [SECONDS]   allocate and wait for SIGTERM\n"
          "       gpu-sample paths MIB            allocate in every way a program can\n"
          "       gpu-sample loop                 allocate, launch and free for ever\n"
          "       gpu-sample launch COUNT [NS]    launch kernels of NS nanoseconds\n"
          "       gpu-sample count COUNT          launch kernels that count themselves\n",
          stderr);
    return 2;
}

int main(int count, char **arguments)
{
    const char *command = count > 1 ? arguments[1] : "";
    unsigned long long number = count > 2 ? strtoull(arguments[2], NULL, 10) : 0;
    unsigned long long second = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    if (!strcmp(command, "info"))
        return info();
    if (!strcmp(command, "loop"))
        return loop();
    if (count < 3)
        return usage();
    if (!strcmp(command, "alloc"))
        return allocate(number);
    if (!strcmp(command, "hold"))
        return hold(number, (unsigned)second);
    if (!strcmp(command, "paths"))
        return sample_paths(number);
    if (!strcmp(command, "launch"))
        return launch(number, count > 3 ? second : 1000000);
    if (!strcmp(command, "count"))
        return count_launches((unsigned)number);
    return usage();
}
