/*
 * Launches of programs that use more than one context: "probe_contexts WORD NUMBER KERNEL_NS".
 * Their tests say what each word does.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../fake/kernels.h"
#include "probe.h"

#define GPUS 2
#define WARM_UP 200
#define FIRST_NS 10000

/* A kernel of a library is the same handle in every context. */
static CUfunction kernel;
static CUcontext contexts[GPUS];
static CUstream streams[GPUS];

static void begin(void)
{
    CUlibrary library;
    must(cuInit(0), "cuInit");
    for (int i = GPUS - 1; i >= 0; i--) {
        must(cuDevicePrimaryCtxRetain(&contexts[i], i), "cuDevicePrimaryCtxRetain");
        must(cuCtxSetCurrent(contexts[i]), "cuCtxSetCurrent");
        must(cuStreamCreate(&streams[i], CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    }
    must(cuLibraryLoadData(&library, KERNELS, NULL, NULL, 0, NULL, NULL, 0), "cuLibraryLoadData");
    must(cuLibraryGetKernel((CUkernel *)&kernel, library, TIMED_KERNEL), "cuLibraryGetKernel");
}

static void launch(int gpu, uint64_t kernel_ns)
{
    void *parameters[] = {&kernel_ns};
    must(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, streams[gpu], parameters, NULL), "cuLaunchKernel");
}

static void synchronize(int gpu)
{
    must(cuCtxPushCurrent(contexts[gpu]), "cuCtxPushCurrent");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    must(cuCtxPopCurrent(NULL), "cuCtxPopCurrent");
}

/* How many bytes of the heap the program holds more after so many launches on either GPU. */
static void take_turns(int rounds, uint64_t kernel_ns)
{
    size_t before = 0;
    begin();
    for (int i = 0; i < WARM_UP + rounds; i++) {
        if (i == WARM_UP)
            before = mallinfo2().uordblks;
        must(cuCtxSetCurrent(contexts[i % GPUS]), "cuCtxSetCurrent");
        launch(i % GPUS, kernel_ns);
    }
    printf("%zd\n", (ssize_t)(mallinfo2().uordblks - before));
}

/* The part of the time that GPU 1 is kept busy by launches of a thread whose context is GPU 0's. */
static void launch_abroad(int kernels, uint64_t kernel_ns)
{
    begin();
    uint64_t start = now_ns();
    for (int i = 0; i < kernels; i++)
        launch(1, kernel_ns);
    synchronize(1);
    printf("%.4f\n", (double)kernels * (double)kernel_ns / (double)(now_ns() - start));
}

/* The same of GPU 0, whose context begins anew after every second launch, of which the first are brief. */
static void reset_often(int kernels, uint64_t kernel_ns)
{
    begin();
    uint64_t start = now_ns();
    for (int i = 0; i < kernels; i++) {
        launch(0, i < 2 ? FIRST_NS : kernel_ns);
        if (i % 2 == 0)
            continue;
        synchronize(0);
        must(cuDevicePrimaryCtxReset(0), "cuDevicePrimaryCtxReset");
        must(cuStreamCreate(&streams[0], CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    }
    printf("%.4f\n", (double)kernels * (double)kernel_ns / (double)(now_ns() - start));
}

/* For how many ms a first launch on GPU 1 waits while the kernel runs on GPU 0. */
static void launch_on_both(uint64_t kernel_ns)
{
    begin();
    launch(0, kernel_ns);
    uint64_t start = now_ns();
    launch(1, kernel_ns);
    printf("%.1f\n", (double)(now_ns() - start) / 1e6);
}

/* One launch on both GPUs at once while GPU 1 is in debt for a kernel of that length. */
static void launch_together(uint64_t kernel_ns)
{
    uint64_t brief_ns = 1000000;
    void *parameters[] = {&brief_ns};
    CUDA_LAUNCH_PARAMS parts[GPUS];
    begin();
    must(cuCtxSetCurrent(contexts[1]), "cuCtxSetCurrent");
    launch(1, kernel_ns);
    launch(1, kernel_ns);
    synchronize(1);
    must(cuCtxSetCurrent(contexts[0]), "cuCtxSetCurrent");
    for (int i = 0; i < GPUS; i++)
        parts[i] = (CUDA_LAUNCH_PARAMS){kernel, 2, 1, 1, 32, 1, 1, 0, streams[i], parameters};
    must(cuLaunchCooperativeKernelMultiDevice(parts, GPUS, 0), "cuLaunchCooperativeKernelMultiDevice");
    synchronize(0);
}

int main(int count, char **arguments)
{
    const char *word = count > 3 ? arguments[1] : "";
    int number = count > 3 ? atoi(arguments[2]) : 0;
    uint64_t kernel_ns = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
    if (strcmp(word, "turns") == 0)
        take_turns(number, kernel_ns);
    else if (strcmp(word, "abroad") == 0)
        launch_abroad(number, kernel_ns);
    else if (strcmp(word, "reset") == 0)
        reset_often(number, kernel_ns);
    else if (strcmp(word, "both") == 0)
        launch_on_both(kernel_ns);
    else if (strcmp(word, "together") == 0)
        launch_together(kernel_ns);
    else
        return 2;
    return EXIT_SUCCESS;
}
