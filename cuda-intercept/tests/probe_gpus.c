/*
 * One process on two GPUs: "probe_gpus together LAUNCHES KERNEL_NS" launches on both at once and
 * tells how much of the time each was busy; "probe_gpus apart ROUNDS KERNEL_NS" tells how many
 * milliseconds a launch on the second GPU took right after one on the first.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../fake/kernels.h"
#include "probe.h"

#define GPUS 2
#define PAUSE_NS 100000000 /* longer than the second GPU's own debt */

/* What a launch on one GPU starts with. */
struct work {
    CUcontext context;
    CUfunction kernel;
    CUstream stream;
    uint64_t kernel_ns;
};

static struct work make_work(int ordinal, uint64_t kernel_ns)
{
    CUdevice device;
    CUmodule module;
    struct work work = {.kernel_ns = kernel_ns};
    must(cuDeviceGet(&device, ordinal), "cuDeviceGet");
    must(cuDevicePrimaryCtxRetain(&work.context, device), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(work.context), "cuCtxSetCurrent");
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuModuleGetFunction(&work.kernel, module, TIMED_KERNEL), "cuModuleGetFunction");
    must(cuStreamCreate(&work.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    return work;
}

static void finish(const struct work *work)
{
    must(cuCtxSetCurrent(work->context), "cuCtxSetCurrent");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}

static int launch_together(const struct work works[GPUS], int launches)
{
    uint64_t kernel_ns = works[0].kernel_ns;
    void *parameters[] = {&kernel_ns};
    CUDA_LAUNCH_PARAMS list[GPUS];
    uint64_t start = now_ns();
    for (int i = 0; i < GPUS; i++)
        list[i] = (CUDA_LAUNCH_PARAMS){works[i].kernel, 1, 1, 1, 32, 1, 1, 0, works[i].stream, parameters};
    for (int i = 0; i < launches; i++)
        must(cuLaunchCooperativeKernelMultiDevice(list, GPUS, 0), "cuLaunchCooperativeKernelMultiDevice");
    for (int i = 0; i < GPUS; i++)
        finish(&works[i]);
    printf("%.4f\n", (double)launches * (double)kernel_ns / (double)(now_ns() - start));
    return EXIT_SUCCESS;
}

static void launch(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    must(cuCtxSetCurrent(work->context), "cuCtxSetCurrent");
    must(cuLaunchKernel(work->kernel, 1, 1, 1, 32, 1, 1, 0, work->stream, parameters, NULL), "cuLaunchKernel");
}

/* The first launch of a round waits until its GPU's debt is paid back, and leaves it in debt. The
 * second GPU has paused meanwhile: the first launch there takes most of what is made up for. */
static int launch_apart(const struct work works[GPUS], int rounds)
{
    for (int i = 0; i < GPUS; i++) {
        launch(&works[i]); /* measured here */
        finish(&works[i]);
    }
    for (int i = 0; i < rounds; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        launch(&works[0]);
        uint64_t start = now_ns();
        launch(&works[1]);
        launch(&works[1]);
        printf("%.3f\n", (double)(now_ns() - start) / 1e6);
    }
    return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
    struct work works[GPUS];
    if (count != 4)
        return 2;
    must(cuInit(0), "cuInit");
    for (int i = 0; i < GPUS; i++)
        works[i] = make_work(i, strtoull(arguments[3], NULL, 10));
    int number = atoi(arguments[2]);
    return strcmp(arguments[1], "together") == 0 ? launch_together(works, number) : launch_apart(works, number);
}
