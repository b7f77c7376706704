/*
 * For benchmarks only: the plain token bucket that HAMi-core limits launches with,
 * written anew from what is known of its law. A token is a block of the grid,
 * however long it runs. Every 120 ms each process looks at what NVML says its
 * container used in the last second, and moves the number of tokens that it is
 * given by an amount that grows with the square of the multiprocessors. A launch
 * waits in naps of 10 ms while the tokens are below zero, and then spends.
 *
 * $TOKEN_BUCKET_PERCENT: the limit. Processes of one process group are a container.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <dlfcn.h>
#include <nvml.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MULTIPROCESSORS 132LL
#define MAX_THREADS 2048LL
#define FACTOR 32LL
#define PERIOD_NS 120000000L
#define NAP_NS 10000000L
#define LOOK_BACK_US 1000000ULL
#define MAX_SAMPLES 1024

typedef CUresult launch_function(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                 CUstream, void **, void **);

static const long long pool = MULTIPROCESSORS * MAX_THREADS * FACTOR;
static _Atomic long long tokens;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int limit;

static int used_percent(nvmlDevice_t device)
{
    static nvmlProcessUtilizationSample_t samples[MAX_SAMPLES];
    struct timespec now;
    unsigned int count = MAX_SAMPLES;
    int sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long long since = (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
    if (nvmlDeviceGetProcessUtilization(device, samples, &count, since - LOOK_BACK_US) != NVML_SUCCESS)
        return 0;
    for (unsigned int i = 0; i < count; i++)
        if (getpgid((pid_t)samples[i].pid) == getpgrp())
            sum += (int)samples[i].smUtil;
    return sum;
}

static long long adjust(long long share, int used)
{
    int error = abs(limit - used);
    long long step = MULTIPROCESSORS * MULTIPROCESSORS * MAX_THREADS * (error > 5 ? error : 5) / 2560;
    if (error > limit / 2)
        step = step * error * 2 / (limit + 1);
    if (used <= limit)
        return share + step < pool ? share + step : pool;
    return share > step ? share - step : 0;
}

static void *watch(void *unused)
{
    nvmlDevice_t device;
    long long share = 0;
    (void)unused;
    if (nvmlInit_v2() != NVML_SUCCESS || nvmlDeviceGetHandleByIndex_v2(0, &device) != NVML_SUCCESS)
        return NULL;
    for (;;) {
        share = adjust(share, used_percent(device));
        long long sum = atomic_fetch_add(&tokens, share) + share;
        if (sum > pool)
            atomic_store(&tokens, pool);
        nanosleep(&(struct timespec){0, PERIOD_NS}, NULL);
    }
    return NULL;
}

static void start(void)
{
    pthread_t thread;
    const char *percent = getenv("TOKEN_BUCKET_PERCENT");
    limit = percent == NULL ? 0 : atoi(percent);
    if (limit > 0 && pthread_create(&thread, NULL, watch, NULL) == 0)
        pthread_detach(thread);
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                        unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes,
                        CUstream stream, void **parameters, void **extra)
{
    static _Atomic(launch_function *) real;
    if (real == NULL)
        real = (launch_function *)dlsym(RTLD_NEXT, "cuLaunchKernel");
    pthread_once(&once, start);
    while (limit > 0 && atomic_load(&tokens) < 0)
        nanosleep(&(struct timespec){0, NAP_NS}, NULL);
    atomic_fetch_sub(&tokens, (long long)grid_x * grid_y * grid_z);
    return real(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, stream, parameters, extra);
}
