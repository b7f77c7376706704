#include "cuda_check.h"
#include "../../fake/kernels.h"

#include <errno.h>
#include <nvml.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ODD_PROFILE                                                                                \
    "cuda 13000\nname Tesla T4\nmemory_bytes 15843721216\nreserved_bytes 786432\n"                 \
    "compute_major 7\ncompute_minor 5\n"                                                           \
    "gpu 0\nuuid GPU-00000000-0000-4000-8000-0000000000a0\npci 00000000:01:00.0\n"

static struct gate ready, go, leave;

static nvmlDevice_t device_at(unsigned index)
{
    nvmlDevice_t device;
    CHECK_EQUAL(nvmlInit(), NVML_SUCCESS);
    CHECK_EQUAL(nvmlDeviceGetHandleByIndex(index, &device), NVML_SUCCESS);
    return device;
}

static unsigned long long used_mebibytes(nvmlDevice_t device)
{
    nvmlMemory_t memory;
    CHECK_EQUAL(nvmlDeviceGetMemoryInfo(device, &memory), NVML_SUCCESS);
    return memory.used / MIB;
}

static void gpus_are_those_of_the_profile(void)
{
    unsigned count = 0, minor = 9;
    char uuid[96];
    nvmlPciInfo_t pci;
    nvmlDevice_t second = device_at(1), found;
    CHECK_EQUAL(nvmlDeviceGetCount(&count), NVML_SUCCESS);
    CHECK_EQUAL(count, 2);
    CHECK_EQUAL(nvmlDeviceGetUUID(second, uuid, sizeof uuid), NVML_SUCCESS);
    CHECK_EQUAL(strcmp(uuid, "GPU-00000000-0000-4000-8000-0000000000b1"), 0);
    CHECK_EQUAL(nvmlDeviceGetUUID(second, uuid, 8), NVML_ERROR_INSUFFICIENT_SIZE);
    CHECK_EQUAL(nvmlDeviceGetHandleByUUID("GPU-00000000-0000-4000-8000-0000000000b1", &found),
                NVML_SUCCESS);
    CHECK(found == second);
    CHECK_EQUAL(nvmlDeviceGetHandleByUUID("GPU-none", &found), NVML_ERROR_NOT_FOUND);
    CHECK_EQUAL(nvmlDeviceGetMinorNumber(second, &minor), NVML_SUCCESS);
    CHECK_EQUAL(minor, 1);
    CHECK_EQUAL(nvmlDeviceGetPciInfo(second, &pci), NVML_SUCCESS);
    CHECK_EQUAL(pci.bus, 2);
    CHECK_EQUAL(strcmp(pci.busId, "00000000:02:00.0"), 0);
}

static void no_node_is_no_gpu_and_no_error(void)
{
    unsigned count = 9;
    hide_gpu(0);
    hide_gpu(1);
    CHECK_EQUAL(nvmlInit(), NVML_SUCCESS);
    CHECK_EQUAL(nvmlDeviceGetCount(&count), NVML_SUCCESS);
    CHECK_EQUAL(count, 0);
}

static void no_profile_is_no_driver(void)
{
    setenv("FAKE_GPU_ROOT", "/nonexistent", 1);
    CHECK_EQUAL(nvmlInit(), NVML_ERROR_DRIVER_NOT_LOADED);
}

/* root may write whatever it likes, so that the test needs another uid. */
static void a_reader_needs_no_write_permission(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/var/lib/fake-gpu/state", getenv("FAKE_GPU_ROOT"));
    CHECK_EQUAL(truncate(path, 16 << 20), 0);
    CHECK_EQUAL(chmod(path, 0444), 0);
    CHECK_EQUAL(chmod(getenv("FAKE_GPU_ROOT"), 0755), 0);
    if (!geteuid())
        CHECK_EQUAL(setuid(65534), 0);
    CHECK_EQUAL(used_mebibytes(device_at(0)), 0);
    CHECK_EQUAL(use_gpu(0), CUDA_ERROR_OPERATING_SYSTEM);
}

static void calls_need_init(void)
{
    unsigned count;
    CHECK_EQUAL(nvmlDeviceGetCount(&count), NVML_ERROR_UNINITIALIZED);
    nvmlDevice_t device = device_at(0);
    CHECK_EQUAL(nvmlShutdown(), NVML_SUCCESS);
    CHECK_EQUAL(nvmlDeviceGetMinorNumber(device, &count), NVML_ERROR_UNINITIALIZED);
    CHECK_EQUAL(nvmlShutdown(), NVML_ERROR_UNINITIALIZED);
}

static void odd_totals_are_exact(void)
{
    nvmlMemory_t one;
    nvmlMemory_v2_t two = {.version = nvmlMemory_v2};
    nvmlDevice_t device = device_at(0);
    CHECK_EQUAL(nvmlDeviceGetMemoryInfo(device, &one), NVML_SUCCESS);
    CHECK_EQUAL(nvmlDeviceGetMemoryInfo_v2(device, &two), NVML_SUCCESS);
    CHECK_EQUAL(one.total, 15843721216);
    CHECK_EQUAL(one.used, 786432);
    CHECK_EQUAL(two.total, 15843721216);
    CHECK_EQUAL(two.reserved, 786432);
    CHECK_EQUAL(two.used, 0);
    CHECK_EQUAL(two.free, 15843721216 - 786432);
    two.version = 7;
    CHECK_EQUAL(nvmlDeviceGetMemoryInfo_v2(device, &two), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
}

static int hold(int mebibytes)
{
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate((unsigned)mebibytes), CUDA_SUCCESS);
    open_gate(&ready);
    pass_gate(&go);
    return 0;
}

static void processes_are_listed_with_their_memory(void)
{
    ready = make_gate(), go = make_gate();
    pid_t child = start(hold, 300);
    pass_gate(&ready);
    nvmlDevice_t device = device_at(0);
    nvmlProcessInfo_t processes[4];
    unsigned count = 0;
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(device, &count, NULL),
                NVML_ERROR_INSUFFICIENT_SIZE);
    CHECK_EQUAL(count, 1);
    count = 4;
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(device, &count, processes), NVML_SUCCESS);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(processes[0].pid, child);
    CHECK_EQUAL(processes[0].usedGpuMemory, 300 * MIB);
    CHECK_EQUAL(used_mebibytes(device), 300);
    CHECK_EQUAL(used_mebibytes(device_at(1)), 0);
    open_gate(&go);
    CHECK_EQUAL(finish(child), 0);
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(device, &count, processes), NVML_SUCCESS);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(used_mebibytes(device), 0);
}

static void look(int pid)
{
    nvmlProcessInfo_t processes[4];
    unsigned count = 4;
    nvmlDevice_t device = device_at(0);
    CHECK_EQUAL(used_mebibytes(device), 500);
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(device, &count, processes), NVML_SUCCESS);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(processes[0].pid, pid);
}

static int hold_and_look(int mebibytes)
{
    CHECK_EQUAL(getpid(), 1);
    hold(mebibytes);
    look(1);
    open_gate(&ready);
    pass_gate(&leave);
    return 0;
}

/* What a container runtime does: a child that is pid 1 of a namespace. */
static int contain(int mebibytes)
{
    if (unshare(CLONE_NEWPID))
        return errno == EPERM ? 77 : 1;
    return finish(start(hold_and_look, mebibytes));
}

static void pid_namespaces_are_kept_apart(void)
{
    ready = make_gate(), go = make_gate(), leave = make_gate();
    pid_t one = start(contain, 200), other = start(contain, 300);
    if (geteuid()) {
        CHECK_EQUAL(finish(one), 77);
        CHECK_EQUAL(finish(other), 77);
        return;
    }
    for (int i = 0; i < 2; i++)
        pass_gate(&ready);
    nvmlProcessInfo_t processes[4];
    unsigned count = 4;
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(device_at(0), &count, processes), NVML_SUCCESS);
    CHECK_EQUAL(count, 2);
    CHECK(processes[0].pid != processes[1].pid && processes[0].pid > 1 && processes[1].pid > 1);
    for (int i = 0; i < 2; i++)
        open_gate(&go);
    for (int i = 0; i < 2; i++)
        pass_gate(&ready);
    for (int i = 0; i < 2; i++)
        open_gate(&leave);
    CHECK_EQUAL(finish(one), 0);
    CHECK_EQUAL(finish(other), 0);
}

static void machines_know_their_topology(void)
{
    nvmlDevice_t one = device_at(0), other = device_at(1);
    nvmlGpuTopologyLevel_t level;
    nvmlEnableState_t active;
    nvmlPciInfo_t pci;
    unsigned node = 9, mode, pending;
    CHECK_EQUAL(nvmlDeviceGetTopologyCommonAncestor(one, other, &level), NVML_SUCCESS);
    CHECK_EQUAL(level, NVML_TOPOLOGY_SYSTEM);
    CHECK_EQUAL(nvmlDeviceGetNumaNodeId(other, &node), NVML_SUCCESS);
    CHECK_EQUAL(node, 1);
    CHECK_EQUAL(nvmlDeviceGetNvLinkState(one, 0, &active), NVML_SUCCESS);
    CHECK_EQUAL(active, NVML_FEATURE_ENABLED);
    CHECK_EQUAL(nvmlDeviceGetNvLinkRemotePciInfo(one, 0, &pci), NVML_SUCCESS);
    CHECK_EQUAL(pci.bus, 2);
    CHECK_EQUAL(nvmlDeviceGetMigMode(one, &mode, &pending), NVML_SUCCESS);
    CHECK_EQUAL(mode, NVML_DEVICE_MIG_DISABLE);
    CHECK_EQUAL(nvmlDeviceGetMaxMigDeviceCount(one, &node), NVML_SUCCESS);
    CHECK_EQUAL(node, 0);
}

static void a_wait_for_events_times_out(void)
{
    nvmlEventSet_t set;
    nvmlEventData_t data;
    nvmlDevice_t device = device_at(0);
    CHECK_EQUAL(nvmlEventSetCreate(&set), NVML_SUCCESS);
    CHECK_EQUAL(nvmlDeviceRegisterEvents(device, nvmlEventTypeXidCriticalError, set), NVML_SUCCESS);
    CHECK_EQUAL(nvmlEventSetWait(set, &data, 1), NVML_ERROR_TIMEOUT);
    CHECK_EQUAL(nvmlEventSetFree(set), NVML_SUCCESS);
}

/* All that are kept, of all that was done: 300 ms of work. */
static void check_samples(nvmlDevice_t device)
{
    nvmlSample_t samples[32];
    nvmlValueType_t kind;
    unsigned count = 32, none = 0, busy = 0, percents = 0;
    CHECK_EQUAL(nvmlDeviceGetSamples(device, NVML_GPU_UTILIZATION_SAMPLES, 0, &kind, &count, samples), NVML_SUCCESS);
    CHECK_EQUAL(kind, NVML_VALUE_TYPE_UNSIGNED_INT);
    for (unsigned i = 0; i < count; i++) {
        CHECK(i == 0 || samples[i].timeStamp > samples[i - 1].timeStamp + 149000);
        busy += samples[i].sampleValue.uiVal > 0;
        percents += samples[i].sampleValue.uiVal;
    }
    CHECK(busy >= 2 && percents > 150 && percents < 210);
    unsigned long long last = samples[count - 1].timeStamp;
    CHECK_EQUAL(nvmlDeviceGetSamples(device, NVML_GPU_UTILIZATION_SAMPLES, last + 1000000, &kind, &none, NULL),
                NVML_ERROR_NOT_FOUND);
    CHECK_EQUAL(nvmlDeviceGetSamples(device, NVML_TOTAL_POWER_SAMPLES, 0, &kind, &count, samples),
                NVML_ERROR_NOT_SUPPORTED);
}

static void work_shows_as_utilization(void)
{
    CUmodule module;
    CUfunction kernel;
    nvmlUtilization_t utilization;
    unsigned long long duration = 300 * 1000000ull;
    void *parameters[] = {&duration};
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, KERNELS), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&kernel, module, TIMED_KERNEL), CUDA_SUCCESS);
    CHECK_EQUAL(cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuCtxSynchronize(), CUDA_SUCCESS);
    /* samples come six times a second and are averaged over almost a second */
    do {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        CHECK_EQUAL(nvmlDeviceGetUtilizationRates(device_at(0), &utilization), NVML_SUCCESS);
    } while (utilization.gpu < 28);
    CHECK(utilization.gpu <= 40);
    nvmlGpuDynamicPstatesInfo_t domains;
    CHECK_EQUAL(nvmlDeviceGetDynamicPstatesInfo(device_at(0), &domains), NVML_SUCCESS);
    CHECK(domains.utilization[NVML_GPU_UTILIZATION_DOMAIN_GPU].percentage >= 20);
    check_samples(device_at(0));
    CHECK_EQUAL(nvmlDeviceGetUtilizationRates(device_at(1), &utilization), NVML_SUCCESS);
    CHECK_EQUAL(utilization.gpu, 0);
}

static const struct test tests[] = {
    {"inventory", "GPUs have the names and places of the profile", gpus_are_those_of_the_profile, NULL},
    {"no-node", "without device nodes there are no GPUs, and that is no error", no_node_is_no_gpu_and_no_error, NULL},
    {"no-driver", "without a profile the driver is not loaded", no_profile_is_no_driver, NULL},
    {"reader", "NVML only reads; CUDA needs a state that can be written", a_reader_needs_no_write_permission, NULL},
    {"init", "calls work between init and shutdown only", calls_need_init, NULL},
    {"odd", "totals that are no multiple of 1 MiB are exact", odd_totals_are_exact, ODD_PROFILE},
    {"processes", "processes are listed with pid and bytes while they live", processes_are_listed_with_their_memory, NULL},
    {"namespaces", "every pid namespace sees the pids that it knows", pid_namespaces_are_kept_apart, NULL},
    {"topology", "NUMA, NVLink and MIG are told", machines_know_their_topology, NULL},
    {"events", "waiting for events times out", a_wait_for_events_times_out, NULL},
    {"utilization", "the last second's work is the utilization", work_shows_as_utilization, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
