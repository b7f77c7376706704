#include "cuda_check.h"
#include "../../fake/kernels.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define MILLISECOND 1000000ull

static CUfunction kernel;

static void begin(void)
{
    CUmodule module;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, KERNELS), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, TIMED_KERNEL), CUDA_SUCCESS);
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

static int leave_work_behind(int milliseconds)
{
    begin();
    launch(NULL, (unsigned)milliseconds * MILLISECOND);
    raise(SIGKILL);
    return 0;
}

static void the_work_of_a_killed_process_vanishes(void)
{
    pid_t other = start(leave_work_behind, 100000);
    CHECK_EQUAL(finish(other), 128 + SIGKILL);
    unsigned long long begun = now();
    begin();
    launch(NULL, MILLISECOND);
    CHECK_EQUAL(cuCtxSynchronize(), CUDA_SUCCESS);
    CHECK(now() - begun < 10000 * MILLISECOND);
}

static CUstream make_stream(void)
{
    CUstream stream;
    CHECK_EQUAL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    return stream;
}

static void count_up(void *count)
{
    ++*(_Atomic int *)count;
}

static void host_functions_run_in_their_place(void)
{
    static _Atomic int count;
    begin();
    CUstream stream = make_stream();
    launch(stream, 20 * MILLISECOND);
    CHECK_EQUAL(cuLaunchHostFunc(stream, count_up, &count), CUDA_SUCCESS);
    launch(stream, MILLISECOND);
    CHECK_EQUAL(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
    CHECK_EQUAL(cuStreamSynchronize(stream), CUDA_SUCCESS);
    CHECK_EQUAL(count, 1);
}

static void contexts_wait_for_each_others_events(void)
{
    CUcontext second;
    CUevent event;
    begin();
    CUstream first = make_stream();
    CHECK_EQUAL(cuEventCreate(&event, 0), CUDA_SUCCESS);
    launch(first, 20 * MILLISECOND);
    CHECK_EQUAL(cuEventRecord(event, first), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
    CUstream stream = make_stream();
    CHECK_EQUAL(cuStreamWaitEvent(stream, event, 0), CUDA_SUCCESS);
    launch(stream, MILLISECOND);
    CHECK_EQUAL(cuStreamSynchronize(stream), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventQuery(event), CUDA_SUCCESS);
}

static void more_events_than_the_device_keeps_tell_their_time(void)
{
    enum { COUNT = 3000 };
    static CUevent events[COUNT];
    float milliseconds = 0;
    begin();
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQUAL(cuEventCreate(&events[i], 0), CUDA_SUCCESS);
        CHECK_EQUAL(cuEventRecord(events[i], NULL), CUDA_SUCCESS);
        launch(NULL, 2000);
    }
    CHECK_EQUAL(cuCtxSynchronize(), CUDA_SUCCESS);
    for (int i = 1; i < COUNT; i++) {
        CHECK_EQUAL(cuEventElapsedTime(&milliseconds, events[i - 1], events[i]), CUDA_SUCCESS);
        CHECK(milliseconds >= 0.002F);
    }
}

static void a_captured_graph_runs_its_kernels(void)
{
    CUgraph graph;
    CUgraphExec executable;
    size_t count = 0;
    begin();
    CUstream stream = make_stream();
    CHECK_EQUAL(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    launch(stream, 5 * MILLISECOND);
    launch(stream, 6 * MILLISECOND);
    CHECK_EQUAL(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    CHECK_EQUAL(cuGraphGetNodes(graph, NULL, &count), CUDA_SUCCESS);
    CHECK_EQUAL(count, 2);
    CHECK_EQUAL(cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    unsigned long long begun = now();
    CHECK_EQUAL(cuGraphLaunch(executable, stream), CUDA_SUCCESS);
    CHECK_EQUAL(cuStreamSynchronize(stream), CUDA_SUCCESS);
    CHECK(now() - begun >= 11 * MILLISECOND);
}

static void a_careless_question_ends_a_capture(void)
{
    CUgraph graph;
    CUevent event;
    begin();
    CUstream stream = make_stream();
    CHECK_EQUAL(cuEventCreate(&event, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    CHECK_EQUAL(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventQuery(event), CUDA_SUCCESS);
    CHECK_EQUAL(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
    CHECK_EQUAL(cuEventQuery(event), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CHECK_EQUAL(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

static void bad_shapes_are_refused(void)
{
    begin();
    CHECK_EQUAL(cuLaunchKernel(kernel, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL),
                CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuLaunchKernel(kernel, 1, 1, 1, 1025, 1, 1, 0, NULL, NULL, NULL),
                CUDA_ERROR_INVALID_VALUE);
}

static void code_in_text_is_looked_into(void)
{
    CUmodule module;
    static const char other[] = "// ours\n.version 6.3\n.target sm_50\n.visible .entry other() { ret; }";
    begin();
    CHECK_EQUAL(cuModuleLoadData(&module, other), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, "other"), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, "othe"), CUDA_ERROR_NOT_FOUND);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, TIMED_KERNEL), CUDA_ERROR_NOT_FOUND);
    CHECK_EQUAL(cuModuleLoadData(&module, ".visible .entry other() { ret; }"), CUDA_ERROR_INVALID_PTX);
    CHECK_EQUAL(cuModuleLoadData(&module, ".version 6.3\n.visible .entry other() { ret; }"), CUDA_ERROR_INVALID_PTX);
}

static const struct test tests[] = {
    {"events", "events are stamped with the device's time", events_tell_how_long_kernels_ran, NULL},
    {"synchronize", "a launch returns at once, synchronizing waits for it", synchronizing_waits_for_the_kernels, NULL},
    {"killed", "what a killed process left to run vanishes", the_work_of_a_killed_process_vanishes, NULL},
    {"host", "a host function runs after what came before it and holds up what comes after", host_functions_run_in_their_place, NULL},
    {"contexts", "a stream waits for an event of another context", contexts_wait_for_each_others_events, NULL},
    {"many", "events keep their time", more_events_than_the_device_keeps_tell_their_time, NULL},
    {"capture", "a captured graph holds its launches and nothing else", a_captured_graph_runs_its_kernels, NULL},
    {"careless", "asking about events ends a capture, unless the thread is relaxed", a_careless_question_ends_a_capture, NULL},
    {"queue", "a GPU runs one kernel at a time, whoever launched it", processes_queue_on_one_gpu, NULL},
    {"shapes", "launches and names that cannot be are refused", bad_shapes_are_refused, NULL},
    {"text", "a module of text has the kernels that it says, and is refused without its head", code_in_text_is_looked_into, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
