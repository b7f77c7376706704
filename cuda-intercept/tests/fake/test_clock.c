#include "cuda_check.h"

#include <time.h>

#define MILLISECOND 1000000ull

static CUfunction kernel;

static void begin(void)
{
    CUmodule module;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, ".entry fake_busy_ns"), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, "fake_busy_ns"), CUDA_SUCCESS);
}

static void launch(CUstream stream, unsigned long long duration_ns)
{
    void *parameters[] = {&duration_ns};
    CHECK_EQUAL(cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL), CUDA_SUCCESS);
}

static unsigned long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000ull + (unsigned long long)time.tv_nsec;
}

static void events_tell_how_long_kernels_ran(void)
{
    CUevent first, last;
    float milliseconds = 0;
    begin();
    CHECK_EQUAL(cuEventCreate(&first, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventCreate(&last, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventElapsedTime(&milliseconds, first, last), CUDA_ERROR_INVALID_HANDLE);
    launch(NULL, MILLISECOND);
    CHECK_EQUAL(cuEventRecord(first, NULL), CUDA_SUCCESS);
    for (int i = 0; i < 20; i++)
        launch(NULL, MILLISECOND);
    CHECK_EQUAL(cuEventRecord(last, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventQuery(last), CUDA_ERROR_NOT_READY);
    CHECK_EQUAL(cuEventSynchronize(last), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventElapsedTime(&milliseconds, first, last), CUDA_SUCCESS);
    CHECK(milliseconds > 19.99F && milliseconds < 21.0F);
}

static void synchronizing_waits_for_the_kernels(void)
{
    CUstream stream;
    begin();
    CHECK_EQUAL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    unsigned long long start = now();
    launch(stream, 30 * MILLISECOND);
    CHECK(now() - start < 20 * MILLISECOND);
    CHECK_EQUAL(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
    CHECK_EQUAL(cuStreamQuery(NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuStreamSynchronize(stream), CUDA_SUCCESS);
    CHECK(now() - start >= 30 * MILLISECOND);
    CHECK_EQUAL(cuStreamQuery(stream), CUDA_SUCCESS);
}

static int run_kernels(int count)
{
    begin();
    for (int i = 0; i < count; i++)
        launch(NULL, MILLISECOND);
    CHECK_EQUAL(cuCtxSynchronize(), CUDA_SUCCESS);
    return 0;
}

static void processes_queue_on_one_gpu(void)
{
    unsigned long long begun = now();
    pid_t one = start(run_kernels, 20), other = start(run_kernels, 20);
    CHECK_EQUAL(finish(one), 0);
    CHECK_EQUAL(finish(other), 0);
    CHECK(now() - begun >= 40 * MILLISECOND);
}

static void bad_shapes_are_refused(void)
{
    begin();
    CHECK_EQUAL(cuLaunchKernel(kernel, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
                CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuLaunchKernel(kernel, 1, 1, 1, 1025, 1, 1, 0, NULL, NULL, NULL),
                CUDA_ERROR_INVALID_VALUE);
    CUmodule module;
    CHECK_EQUAL(cuModuleLoadData(&module, " .entry other"), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, "fake_busy_ns"), CUDA_ERROR_NOT_FOUND);
}

static const struct test tests[] = {
    {"events", "events are stamped with the device's time", events_tell_how_long_kernels_ran, NULL},
    {"synchronize", "a launch returns at once, synchronizing waits for it", synchronizing_waits_for_the_kernels, NULL},
    {"queue", "a GPU runs one kernel at a time, whoever launched it", processes_queue_on_one_gpu, NULL},
    {"shapes", "launches and names that cannot be are refused", bad_shapes_are_refused, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
