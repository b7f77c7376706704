/*
 * Launches in one way after another, and tells how much of the time the GPU was
 * busy: "probe_launches WAY KERNELS KERNEL_NS [THREADS]". Other words do what
 * their tests say.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../fake/kernels.h"
#include "probe.h"

#define MAX_THREADS 32
#define GRAPH_KERNELS 4

/* What a launch starts with. */
struct work {
    CUfunction kernel;
    CUgraphExec graph; /* of GRAPH_KERNELS kernels */
    CUstream stream;
    uint64_t kernel_ns;
    unsigned int grid;
};

static void use_gpu(void)
{
    CUcontext context;
    CUdevice device;
    must(cuInit(0), "cuInit");
    must(cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

static struct work make_work(uint64_t kernel_ns)
{
    CUmodule module;
    struct work work = {.kernel_ns = kernel_ns, .grid = 1};
    use_gpu();
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuModuleGetFunction(&work.kernel, module, TIMED_KERNEL), "cuModuleGetFunction");
    must(cuFuncSetBlockShape(work.kernel, 32, 1, 1), "cuFuncSetBlockShape");
    must(cuParamSetSize(work.kernel, sizeof kernel_ns), "cuParamSetSize");
    must(cuParamSetv(work.kernel, 0, &kernel_ns, sizeof kernel_ns), "cuParamSetv");
    must(cuStreamCreate(&work.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    return work;
}

static CUresult launch_kernel(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    return cuLaunchKernel(work->kernel, work->grid, 1, 1, 32, 1, 1, 0, work->stream, parameters, NULL);
}

static CUresult launch_kernel_ptsz(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    return cuLaunchKernel_ptsz(work->kernel, 1, 1, 1, 32, 1, 1, 0, NULL, parameters, NULL);
}

static CUlaunchConfig shape(const struct work *work)
{
    return (CUlaunchConfig){1, 1, 1, 32, 1, 1, 0, work->stream, NULL, 0};
}

static CUresult launch_ex(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    CUlaunchConfig config = shape(work);
    return cuLaunchKernelEx(&config, work->kernel, parameters, NULL);
}

static CUresult launch_ex_ptsz(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    CUlaunchConfig config = shape(work);
    return cuLaunchKernelEx_ptsz(&config, work->kernel, parameters, NULL);
}

static CUresult launch_cooperative(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    return cuLaunchCooperativeKernel(work->kernel, 1, 1, 1, 32, 1, 1, 0, work->stream, parameters);
}

static CUresult launch_cooperative_ptsz(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    return cuLaunchCooperativeKernel_ptsz(work->kernel, 1, 1, 1, 32, 1, 1, 0, work->stream, parameters);
}

static CUresult launch_multi(const struct work *work)
{
    uint64_t kernel_ns = work->kernel_ns;
    void *parameters[] = {&kernel_ns};
    CUDA_LAUNCH_PARAMS list[] = {{work->kernel, 1, 1, 1, 32, 1, 1, 0, work->stream, parameters}};
    return cuLaunchCooperativeKernelMultiDevice(list, 1, 0);
}

static CUresult launch_old(const struct work *work)
{
    return cuLaunch(work->kernel);
}

static CUresult launch_grid(const struct work *work)
{
    return cuLaunchGrid(work->kernel, 1, 1);
}

static CUresult launch_grid_async(const struct work *work)
{
    return cuLaunchGridAsync(work->kernel, 1, 1, work->stream);
}

static CUresult launch_graph(const struct work *work)
{
    return cuGraphLaunch(work->graph, work->stream);
}

static CUresult launch_graph_ptsz(const struct work *work)
{
    return cuGraphLaunch_ptsz(work->graph, NULL);
}

static const struct way {
    const char *name;
    CUresult (*launch)(const struct work *work);
    int kernels; /* in one launch */
} ways[] = {
    {"cuLaunchKernel", launch_kernel, 1},
    {"cuLaunchKernel_ptsz", launch_kernel_ptsz, 1},
    {"cuLaunchKernelEx", launch_ex, 1},
    {"cuLaunchKernelEx_ptsz", launch_ex_ptsz, 1},
    {"cuLaunchCooperativeKernel", launch_cooperative, 1},
    {"cuLaunchCooperativeKernel_ptsz", launch_cooperative_ptsz, 1},
    {"cuLaunchCooperativeKernelMultiDevice", launch_multi, 1},
    {"cuLaunch", launch_old, 1},
    {"cuLaunchGrid", launch_grid, 1},
    {"cuLaunchGridAsync", launch_grid_async, 1},
    {"cuGraphLaunch", launch_graph, GRAPH_KERNELS},
    {"cuGraphLaunch_ptsz", launch_graph_ptsz, GRAPH_KERNELS},
};

/* Captures kernels of the work's length while other threads may launch. */
static CUgraph capture(const struct work *work)
{
    CUgraph graph;
    must(cuStreamBeginCapture_v2(work->stream, CU_STREAM_CAPTURE_MODE_GLOBAL), "cuStreamBeginCapture");
    for (int i = 0; i < GRAPH_KERNELS; i++)
        must(launch_kernel(work), "cuLaunchKernel");
    must(cuStreamEndCapture(work->stream, &graph), "cuStreamEndCapture");
    return graph;
}

static size_t count_nodes(CUgraph graph)
{
    size_t count = 0;
    must(cuGraphGetNodes(graph, NULL, &count), "cuGraphGetNodes");
    return count;
}

/* One thread's part. */
struct part {
    struct work work;
    const struct way *way;
    int launches;
    CUcontext context;
};

static void *run_part(void *argument)
{
    struct part *part = argument;
    must(cuCtxSetCurrent(part->context), "cuCtxSetCurrent");
    must(cuStreamCreate(&part->work.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    for (int i = 0; i < part->launches; i++)
        must(part->way->launch(&part->work), part->way->name);
    return NULL;
}

static int measure(const struct way *way, int kernels, uint64_t kernel_ns, int threads)
{
    static struct part parts[MAX_THREADS];
    pthread_t started[MAX_THREADS];
    CUcontext context;
    struct work work = make_work(kernel_ns);
    must(cuCtxGetCurrent(&context), "cuCtxGetCurrent");
    must(cuGraphInstantiateWithFlags(&work.graph, capture(&work), 0), "cuGraphInstantiate");
    uint64_t start = now_ns();
    for (int i = 0; i < threads; i++) {
        parts[i] = (struct part){work, way, kernels / way->kernels / threads, context};
        if (pthread_create(&started[i], NULL, run_part, &parts[i]) != 0)
            return EXIT_FAILURE;
    }
    for (int i = 0; i < threads; i++)
        pthread_join(started[i], NULL);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    printf("%.4f\n", (double)(kernels / way->kernels / threads * threads * way->kernels) * (double)kernel_ns /
                         (double)(now_ns() - start));
    return EXIT_SUCCESS;
}

static _Atomic int stopped;

static void *launch_on(void *argument)
{
    struct part *part = argument;
    must(cuCtxSetCurrent(part->context), "cuCtxSetCurrent");
    must(cuStreamCreate(&part->work.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    while (!atomic_load(&stopped))
        must(launch_kernel(&part->work), "cuLaunchKernel");
    return NULL;
}

static pthread_mutex_t own_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int begun;

static void *launch_under_a_mutex(void *argument)
{
    struct part *part = argument;
    must(cuCtxSetCurrent(part->context), "cuCtxSetCurrent");
    for (;;) {
        pthread_mutex_lock(&own_mutex);
        atomic_fetch_add(&begun, 1);
        must(launch_kernel(&part->work), "cuLaunchKernel");
        pthread_mutex_unlock(&own_mutex);
        pthread_testcancel();
    }
    return NULL;
}

/* Cancels a thread that waits to launch, and tells whether the mutex that it held is free. */
static int cancel_within_a_launch(void)
{
    pthread_t thread;
    struct part part = {.work = make_work(20000000)};
    must(cuCtxGetCurrent(&part.context), "cuCtxGetCurrent");
    if (pthread_create(&thread, NULL, launch_under_a_mutex, &part) != 0)
        return EXIT_FAILURE;
    while (atomic_load(&begun) < 4)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    puts(pthread_mutex_trylock(&own_mutex) == 0 ? "free" : "held");
    return EXIT_SUCCESS;
}

/* Looks a function up, which loads it, while a stream of the same thread is captured. */
static int look_up_within_a_capture(void)
{
    CUmodule module;
    CUgraph graph;
    struct work work = make_work(100000);
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuStreamBeginCapture_v2(work.stream, CU_STREAM_CAPTURE_MODE_GLOBAL), "cuStreamBeginCapture");
    must(cuModuleGetFunction(&work.kernel, module, TIMED_KERNEL), "cuModuleGetFunction");
    must(launch_kernel(&work), "cuLaunchKernel");
    must(cuStreamEndCapture(work.stream, &graph), "cuStreamEndCapture");
    printf("%zu nodes\n", count_nodes(graph));
    return EXIT_SUCCESS;
}

/* Captures again and again beside a thread whose launches are measured. */
static int capture_beside_launches(int rounds)
{
    pthread_t thread;
    struct part part = {.work = make_work(100000)};
    struct work captured = part.work;
    must(cuCtxGetCurrent(&part.context), "cuCtxGetCurrent");
    if (pthread_create(&thread, NULL, launch_on, &part) != 0)
        return EXIT_FAILURE;
    size_t nodes = 0;
    for (int i = 0; i < rounds; i++) {
        nodes += count_nodes(capture(&captured));
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    atomic_store(&stopped, 1);
    pthread_join(thread, NULL);
    printf("%zu of %d nodes\n", nodes, rounds * GRAPH_KERNELS);
    return EXIT_SUCCESS;
}

/* A kernel of 10 ms and one of a grid a hundred times larger, which takes no longer. */
static struct work launch_larger(void)
{
    struct work work = make_work(10000000);
    must(launch_kernel(&work), "cuLaunchKernel");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    work.grid = 100;
    must(launch_kernel(&work), "cuLaunchKernel");
    return work;
}

/* Pays for far more than it gets to run. */
static int die_in_debt(void)
{
    launch_larger();
    return raise(SIGKILL);
}

/* Pays for far more than it ran, and lives on without another launch. */
static int wait_and_be_idle(void)
{
    launch_larger();
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    puts("idle");
    fflush(stdout);
    return pause();
}

/* Asks until its only launch is done, and ends. */
static int ask_and_end(uint64_t kernel_ns)
{
    struct work work = make_work(kernel_ns);
    must(launch_kernel(&work), "cuLaunchKernel");
    while (cuStreamQuery(work.stream) != CUDA_SUCCESS)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return EXIT_SUCCESS;
}

static int launch_after_fork(int launches)
{
    struct work work = make_work(100000);
    for (int i = 0; i < launches; i++)
        must(launch_kernel(&work), "cuLaunchKernel");
    pid_t child = fork();
    if (child == 0)
        _exit(launch_kernel(&work) == CUDA_SUCCESS); /* a context does not live on in a child */
    int status = 1;
    waitpid(child, &status, 0);
    for (int i = 0; i < launches; i++)
        must(launch_kernel(&work), "cuLaunchKernel");
    printf("child %d\n", status);
    return EXIT_SUCCESS;
}

/* Children of a process that has looked for the driver's functions and never began to use it. */
static int launch_in_children(int children, int kernels, uint64_t kernel_ns)
{
    void *found;
    int status = 0;
    int failed = 0;
    uint64_t start = now_ns();
    must(cuGetProcAddress_v2("cuLaunchKernel", &found, 12000, 0, NULL), "cuGetProcAddress");
    for (int i = 0; i < children; i++)
        if (fork() == 0)
            exit(freopen("/dev/null", "w", stdout) == NULL ? EXIT_FAILURE : measure(ways, kernels, kernel_ns, 1));
    while (wait(&status) > 0)
        failed |= status;
    printf("%.4f\n", (double)children * kernels * (double)kernel_ns / (double)(now_ns() - start));
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char **arguments)
{
    const char *word = count > 1 ? arguments[1] : "";
    int number = count > 2 ? atoi(arguments[2]) : 0;
    if (strcmp(word, "capture") == 0)
        return capture_beside_launches(number);
    if (strcmp(word, "cancel") == 0)
        return cancel_within_a_launch();
    if (strcmp(word, "look-up") == 0)
        return look_up_within_a_capture();
    if (strcmp(word, "debt") == 0)
        return die_in_debt();
    if (strcmp(word, "idle") == 0)
        return wait_and_be_idle();
    if (strcmp(word, "ask") == 0)
        return ask_and_end((uint64_t)number);
    if (strcmp(word, "fork") == 0)
        return launch_after_fork(number);
    if (strcmp(word, "children") == 0)
        return launch_in_children(4, number, strtoull(arguments[3], NULL, 10));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(word, ways[i].name) == 0)
            return measure(&ways[i], number, strtoull(arguments[3], NULL, 10), count > 4 ? atoi(arguments[4]) : 1);
    return 2;
}
