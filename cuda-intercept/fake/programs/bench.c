/* gpu-bench: what driver calls cost here, for comparisons with and without the
 * interceptor. Prints lines of "key value". */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../kernels.h"

#define MAX_SAMPLES (1u << 20)
#define ALLOCATION_BYTES ((size_t)64 << 10)
#define WARM_UP_CALLS 256
#define BATCH 64 /* a launch is too short for a clock of its own */
#define MAX_IN_FLIGHT 256
#define QUEUED_NS 250000000ull
#define MAX_LENGTHS 64
#define BLOCKS 1320 /* ten waves on 132 multiprocessors */
#define THREADS 256
#define NS_PER_MS 1000000ull
#define CALIBRATION_NS (20 * NS_PER_MS)
#define LOOK_NS (10 * NS_PER_MS)
#define VARIABLE ".visible .global .align 16 .b8 looked_up[1024];\n"

/* A pause between batches: launches without one would use up any share. */
static const struct timespec batch_pause = {.tv_nsec = 2000000};

typedef CUresult launch_function(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                                 unsigned, unsigned, CUstream, void **, void **);

static uint64_t samples[MAX_SAMPLES];
static unsigned sample_count;

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

static void must(CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;
    fprintf(stderr, "gpu-bench: %s: error %d\n", what, (int)result);
    exit(EXIT_FAILURE);
}

static void keep(uint64_t sample)
{
    if (sample_count < MAX_SAMPLES)
        samples[sample_count++] = sample;
}

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void print_samples(double per)
{
    qsort(samples, sample_count, sizeof *samples, by_value);
    printf("p50_ns %.1f\np99_ns %.1f\nsamples %u\n", (double)samples[sample_count / 2] / per,
           (double)samples[(uint64_t)sample_count * 99 / 100] / per, sample_count);
}

static void begin(void)
{
    CUdevice device;
    CUcontext context;
    must(cuInit(0), "cuInit");
    must(cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

static CUfunction load_kernel(const char *name)
{
    CUmodule module;
    CUfunction kernel;
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuModuleGetFunction(&kernel, module, name), "cuModuleGetFunction");
    return kernel;
}

static void allocate_and_free(void)
{
    CUdeviceptr address;
    must(cuMemAlloc_v2(&address, ALLOCATION_BYTES), "cuMemAlloc");
    must(cuMemFree_v2(address), "cuMemFree");
}

/* By the clock, and the CPU time of all threads of the process. */
static int bench_init(void)
{
    uint64_t cpu_start = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t start = now_ns();
    must(cuInit(0), "cuInit");
    uint64_t end = now_ns();
    uint64_t cpu_end = read_ns(CLOCK_PROCESS_CPUTIME_ID);
    printf("ns %" PRIu64 "\ncpu_ns %" PRIu64 "\n", end - start, cpu_end - cpu_start);
    begin();
    allocate_and_free();
    printf("first_ns %" PRIu64 "\n", now_ns() - start);
    printf("first_cpu_ns %" PRIu64 "\n", read_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_start);
    return 0;
}

static int bench_alloc(uint64_t milliseconds)
{
    begin();
    for (int i = 0; i < WARM_UP_CALLS; i++)
        allocate_and_free();
    uint64_t end = now_ns() + milliseconds * NS_PER_MS;
    for (uint64_t start = now_ns(); start < end; start = now_ns()) {
        allocate_and_free();
        keep(now_ns() - start);
    }
    print_samples(1);
    return 0;
}

static void look_up(CUmodule module)
{
    CUdeviceptr address;
    must(cuModuleGetGlobal_v2(&address, NULL, module, "looked_up"), "cuModuleGetGlobal");
}

/* A variable, of a module that was just loaded or of one that was asked for it before. */
static int bench_lookup(bool is_first, uint64_t milliseconds)
{
    CUmodule module = NULL;
    begin();
    uint64_t end = now_ns() + milliseconds * NS_PER_MS;
    for (uint64_t start = now_ns(); start < end; keep(now_ns() - start)) {
        if (is_first && module)
            must(cuModuleUnload(module), "cuModuleUnload");
        if (is_first || !module)
            must(cuModuleLoadData(&module, KERNELS VARIABLE), "cuModuleLoadData");
        if (!is_first)
            look_up(module);
        start = now_ns();
        look_up(module);
    }
    print_samples(1);
    return 0;
}

/* cuLaunchKernel as a program comes by it. */
static launch_function *find_launch(const char *way)
{
    void *found = NULL;
    CUdriverProcAddressQueryResult status;
    if (!strcmp(way, "link"))
        return cuLaunchKernel;
    if (!strcmp(way, "dlsym"))
        found = dlsym(RTLD_DEFAULT, "cuLaunchKernel");
    else if (!strcmp(way, "procaddress"))
        must(cuGetProcAddress_v2("cuLaunchKernel", &found, 12000, 0, &status), "cuGetProcAddress");
    return (launch_function *)found;
}

static void print_owner(void *function)
{
    Dl_info info;
    const char *file = dladdr(function, &info) && info.dli_fname ? info.dli_fname : "?";
    const char *slash = strrchr(file, '/');
    printf("function_of %s\n", slash ? slash + 1 : file);
}

/* What keeps the GPU busy: kernels of these lengths in turn, or a graph of them. */
struct load {
    CUfunction kernel;
    CUgraphExec graph; /* NULL: launched one by one */
    uint64_t rounds_per_ms;
    uint64_t lengths_ns[MAX_LENGTHS];
    unsigned count;
};

static CUresult launch_work(CUfunction kernel, uint64_t duration_ns, uint64_t rounds)
{
    void *parameters[] = {&duration_ns, &rounds};
    return cuLaunchKernel(kernel, BLOCKS, 1, 1, THREADS, 1, 1, 0, CU_STREAM_PER_THREAD, parameters, NULL);
}

static CUresult launch_one(const struct load *load, uint64_t number)
{
    uint64_t duration_ns = load->lengths_ns[number % load->count];
    if (load->graph)
        return cuGraphLaunch(load->graph, CU_STREAM_PER_THREAD);
    return launch_work(load->kernel, duration_ns, duration_ns * load->rounds_per_ms / NS_PER_MS);
}

/* "5000", "5000,70000", or "graph:5000,5000" */
static struct load make_load(const char *text, uint64_t rounds_per_ms)
{
    CUgraph graph;
    struct load load = {.kernel = load_kernel(WORK_KERNEL), .rounds_per_ms = rounds_per_ms};
    bool is_graph = !strncmp(text, "graph:", 6);
    char *rest = (char *)text + (is_graph ? 6 : 0);
    for (; load.count < MAX_LENGTHS && *rest; rest += *rest == ',')
        load.lengths_ns[load.count++] = strtoull(rest, &rest, 10);
    if (!is_graph)
        return load;
    must(cuStreamBeginCapture_v2(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "cuStreamBeginCapture");
    for (unsigned i = 0; i < load.count; i++)
        must(launch_one(&load, i), "cuLaunchKernel");
    must(cuStreamEndCapture(CU_STREAM_PER_THREAD, &graph), "cuStreamEndCapture");
    must(cuGraphInstantiateWithFlags(&load.graph, graph, 0), "cuGraphInstantiate");
    return load;
}

/* Instead of kernels, where there is one. */
static CUgraphExec launched_graph;

static void launch_batch(launch_function *launch, CUfunction kernel, int count)
{
    uint64_t duration_ns = 0;
    void *parameters[] = {&duration_ns};
    for (int i = 0; i < count; i++)
        must(launched_graph ? cuGraphLaunch(launched_graph, NULL)
                            : launch(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL),
             "a launch");
}

static int bench_launch(const char *way, uint64_t milliseconds)
{
    begin();
    bool is_graph = !strcmp(way, "graph");
    launch_function *launch = is_graph ? cuLaunchKernel : find_launch(way);
    if (!launch)
        return EXIT_FAILURE;
    CUfunction kernel = load_kernel(TIMED_KERNEL);
    launched_graph = is_graph ? make_load("graph:1", 0).graph : NULL;
    launch_batch(launch, kernel, WARM_UP_CALLS);
    uint64_t end = now_ns() + milliseconds * NS_PER_MS;
    while (now_ns() < end) {
        nanosleep(&batch_pause, NULL);
        launch_batch(launch, kernel, 1);
        uint64_t start = now_ns();
        launch_batch(launch, kernel, BATCH);
        keep(now_ns() - start);
    }
    print_owner(is_graph ? (void *)cuGraphLaunch : (void *)launch);
    print_samples(BATCH);
    return 0;
}

/* How far the GPU has come with the load. */
static struct {
    struct load load;
    CUcontext context;
    CUevent ends[MAX_IN_FLIGHT]; /* by number of the launch, modulo in_flight */
    uint64_t in_flight;
    _Atomic uint64_t recorded, completed; /* launches */
    _Atomic bool ended;
} busy;

static uint64_t sum_ns(unsigned count)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += busy.load.lengths_ns[i];
    return sum;
}

/* The length of all launches before that number. */
static uint64_t work_before_ns(uint64_t number)
{
    unsigned count = busy.load.count;
    if (busy.load.graph)
        return number * sum_ns(count);
    return number / count * sum_ns(count) + sum_ns((unsigned)(number % count));
}

static void completed_up_to(uint64_t number)
{
    uint64_t before = busy.completed;
    while (before < number && !atomic_compare_exchange_weak(&busy.completed, &before, number))
        ;
}

/* Prints lines of "at TIME-NS WORK-NS"; an event that was recorded anew only makes it late. */
static void *watch(void *unused)
{
    (void)unused;
    const struct timespec pause = {.tv_nsec = (long)LOOK_NS};
    must(cuCtxSetCurrent(busy.context), "cuCtxSetCurrent");
    while (!busy.ended) {
        uint64_t next = busy.completed;
        while (next < busy.recorded && cuEventQuery(busy.ends[next % busy.in_flight]) == CUDA_SUCCESS)
            completed_up_to(++next);
        printf("at %" PRIu64 " %" PRIu64 "\n", now_ns(), work_before_ns(busy.completed));
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void keep_busy(uint64_t milliseconds)
{
    uint64_t launched = 0, end = now_ns() + milliseconds * NS_PER_MS;
    for (; now_ns() < end; launched++) {
        CUevent last = busy.ends[launched % busy.in_flight];
        if (launched >= busy.in_flight) {
            must(cuEventSynchronize(last), "cuEventSynchronize");
            completed_up_to(launched - busy.in_flight + 1);
        }
        must(launch_one(&busy.load, launched), "a launch");
        must(cuEventRecord(last, CU_STREAM_PER_THREAD), "cuEventRecord");
        busy.recorded = launched + 1;
    }
    printf("launched %" PRIu64 "\n", launched);
}

/* Keeps the GPU as busy as it may, with up to a quarter of a second of work queued. */
static int bench_busy(const char *lengths, uint64_t milliseconds, uint64_t rounds_per_ms)
{
    pthread_t watcher;
    begin();
    busy.load = make_load(lengths, rounds_per_ms);
    uint64_t mean_ns = sum_ns(busy.load.count) / (busy.load.graph ? 1 : busy.load.count);
    busy.in_flight = QUEUED_NS / (mean_ns + 1) + 2;
    busy.in_flight = busy.in_flight < MAX_IN_FLIGHT ? busy.in_flight : MAX_IN_FLIGHT;
    for (uint64_t i = 0; i < busy.in_flight; i++)
        must(cuEventCreate(&busy.ends[i], 0), "cuEventCreate");
    must(cuCtxGetCurrent(&busy.context), "cuCtxGetCurrent");
    if (rounds_per_ms && pthread_create(&watcher, NULL, watch, NULL))
        return EXIT_FAILURE;
    keep_busy(milliseconds);
    busy.ended = true;
    return rounds_per_ms && pthread_join(watcher, NULL) ? EXIT_FAILURE : 0;
}

/* How many rounds of a busy kernel take a millisecond here, when nobody else has the GPU. */
static int calibrate(void)
{
    CUevent first, last;
    float milliseconds = 0;
    begin();
    CUfunction kernel = load_kernel(WORK_KERNEL);
    must(cuEventCreate(&first, 0), "cuEventCreate");
    must(cuEventCreate(&last, 0), "cuEventCreate");
    uint64_t rounds = 1000;
    for (; (double)milliseconds * NS_PER_MS < CALIBRATION_NS / 2; rounds *= 2) {
        must(cuEventRecord(first, CU_STREAM_PER_THREAD), "cuEventRecord");
        must(launch_work(kernel, CALIBRATION_NS, rounds), "a launch");
        must(cuEventRecord(last, CU_STREAM_PER_THREAD), "cuEventRecord");
        must(cuEventSynchronize(last), "cuEventSynchronize");
        must(cuEventElapsedTime(&milliseconds, first, last), "cuEventElapsedTime");
    }
    printf("rounds_per_ms %" PRIu64 "\n", (uint64_t)((double)(rounds / 2) / (double)milliseconds) + 1);
    return 0;
}

static int usage(void)
{
    fputs("usage: gpu-bench init                                  the first cuInit, and to the first allocation\n"
          "       gpu-bench alloc MILLISECONDS                    cuMemAlloc and cuMemFree\n"
          "       gpu-bench lookup first|again MILLISECONDS       cuModuleGetGlobal\n"
          "       gpu-bench launch link|dlsym|procaddress|graph MILLISECONDS\n"
          "       gpu-bench busy [graph:]NS[,NS...] MILLISECONDS [ROUNDS_PER_MS]\n"
          "                                                       kernels of these lengths, as many as it may\n"
          "       gpu-bench calibrate                             how many rounds of such a kernel take a millisecond\n",
          stderr);
    return 2;
}

int main(int count, char **arguments)
{
    const char *command = count > 1 ? arguments[1] : "";
    uint64_t last = count > 2 ? strtoull(arguments[count - 1], NULL, 10) : 0;
    if (!strcmp(command, "init"))
        return bench_init();
    if (!strcmp(command, "alloc") && last)
        return bench_alloc(last);
    if (!strcmp(command, "lookup") && count == 4 && last)
        return bench_lookup(!strcmp(arguments[2], "first"), last);
    if (!strcmp(command, "launch") && count == 4 && last)
        return bench_launch(arguments[2], last);
    if (!strcmp(command, "busy") && count == 4 && last)
        return bench_busy(arguments[2], last, 0);
    if (!strcmp(command, "busy") && count == 5 && last)
        return bench_busy(arguments[2], strtoull(arguments[3], NULL, 10), last);
    if (!strcmp(command, "calibrate"))
        return calibrate();
    return usage();
}
