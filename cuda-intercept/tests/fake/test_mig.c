#include "cuda_check.h"

#include <nvml.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WHOLE "GPU-00000000-0000-4000-8000-0000000000a0"
#define SPLIT "GPU-00000000-0000-4000-8000-0000000000b1"
#define LARGE "MIG-00000000-0000-5000-8000-0000000000c2"
#define SMALL "MIG-00000000-0000-5000-8000-0000000000d3"

/* Capabilities of GPU 1: instance 1 is numbers 147 and 148, instance 2 is 156 and 157. */
static const char profile[] =
    "driver 580.95.05\nnvml 13.580.95.05\ncuda 13000\nkernel_ns 1000\n"
    "name Test GPU\nmemory_bytes 1073741824\ncompute_major 9\narchitecture 9\nmultiprocessors 132\n"
    "gpu 0\nuuid " WHOLE "\npci 00000000:01:00.0\nnuma_node 0\n"
    "gpu 1\nuuid " SPLIT "\npci 00000000:02:00.0\nnuma_node 1\nmig_mode 1\n"
    "mig 4g.40gb 1 0 " LARGE " 536870912 64\n"
    "mig 1g.10gb 2 0 " SMALL " 134217728 16\n";

static struct gate ready, go;

static void put_capability(unsigned number, bool there)
{
    char path[256];
    snprintf(path, sizeof path, "%s/dev/nvidia-caps", getenv("FAKE_GPU_ROOT"));
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/dev/nvidia-caps/nvidia-cap%u", getenv("FAKE_GPU_ROOT"), number);
    if (!there)
        CHECK_EQUAL(unlink(path), 0);
    else
        CHECK(fopen(path, "w") != NULL);
}

static void make_instances(void)
{
    static const unsigned numbers[] = {147, 148, 156, 157};
    for (unsigned i = 0; i < 4; i++)
        put_capability(numbers[i], true);
    CHECK_EQUAL(nvmlInit(), NVML_SUCCESS);
}

static nvmlDevice_t find(const char *uuid)
{
    nvmlDevice_t device;
    CHECK_EQUAL(nvmlDeviceGetHandleByUUID(uuid, &device), NVML_SUCCESS);
    return device;
}

static void instances_are_below_their_gpu(void)
{
    unsigned count, mode, pending, index, is_mig;
    nvmlDevice_t instance, parent;
    nvmlDeviceAttributes_t attributes;
    nvmlMemory_t memory;
    char text[96];
    make_instances();
    CHECK_EQUAL(nvmlDeviceGetCount(&count), NVML_SUCCESS);
    CHECK_EQUAL(count, 2);
    CHECK_EQUAL(nvmlDeviceGetMigMode(find(SPLIT), &mode, &pending), NVML_SUCCESS);
    CHECK_EQUAL(mode, NVML_DEVICE_MIG_ENABLE);
    CHECK_EQUAL(nvmlDeviceGetMigMode(find(WHOLE), &mode, &pending), NVML_SUCCESS);
    CHECK_EQUAL(mode, NVML_DEVICE_MIG_DISABLE);
    CHECK_EQUAL(nvmlDeviceGetMigDeviceHandleByIndex(find(SPLIT), 1, &instance), NVML_SUCCESS);
    CHECK(instance == find(SMALL));
    CHECK_EQUAL(nvmlDeviceGetMigDeviceHandleByIndex(find(SPLIT), 2, &instance), NVML_ERROR_NOT_FOUND);
    CHECK_EQUAL(nvmlDeviceGetMigDeviceHandleByIndex(find(WHOLE), 0, &instance), NVML_ERROR_NOT_FOUND);
    CHECK_EQUAL(nvmlDeviceGetIndex(find(SMALL), &index), NVML_SUCCESS);
    CHECK_EQUAL(index, 1);
    CHECK_EQUAL(nvmlDeviceIsMigDeviceHandle(find(SMALL), &is_mig), NVML_SUCCESS);
    CHECK_EQUAL(is_mig, 1);
    CHECK_EQUAL(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(find(SMALL), &parent), NVML_SUCCESS);
    CHECK(parent == find(SPLIT));
    CHECK_EQUAL(nvmlDeviceGetGpuInstanceId(find(SMALL), &index), NVML_SUCCESS);
    CHECK_EQUAL(index, 2);
    CHECK_EQUAL(nvmlDeviceGetName(find(SMALL), text, sizeof text), NVML_SUCCESS);
    CHECK_EQUAL(strcmp(text, "Test GPU MIG 1g.10gb"), 0);
    CHECK_EQUAL(nvmlDeviceGetAttributes_v2(find(LARGE), &attributes), NVML_SUCCESS);
    CHECK_EQUAL(attributes.multiprocessorCount, 64);
    CHECK_EQUAL(attributes.memorySizeMB, 512);
    CHECK_EQUAL(nvmlDeviceGetMemoryInfo(find(SMALL), &memory), NVML_SUCCESS);
    CHECK_EQUAL(memory.total, 134217728);
    CHECK_EQUAL(nvmlDeviceGetMinorNumber(find(SMALL), &index), NVML_ERROR_NOT_SUPPORTED);
}

static void the_layout_changes_under_a_running_program(void)
{
    nvmlDevice_t device, small;
    unsigned id;
    make_instances();
    small = find(SMALL);
    put_capability(157, false);
    CHECK_EQUAL(nvmlDeviceGetHandleByUUID(SMALL, &device), NVML_ERROR_NOT_FOUND);
    CHECK_EQUAL(nvmlDeviceGetGpuInstanceId(small, &id), NVML_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(nvmlDeviceGetMigDeviceHandleByIndex(find(SPLIT), 1, &device), NVML_ERROR_NOT_FOUND);
    put_capability(157, true);
    CHECK(find(SMALL) == small);
}

static void check_uuids(const char *own, const char *first_version)
{
    CUuuid uuid;
    CHECK_EQUAL(cuDeviceGetUuid_v2(&uuid, 0), CUDA_SUCCESS);
    CHECK_EQUAL((unsigned char)uuid.bytes[15], strtoul(own + strlen(own) - 2, NULL, 16));
    CHECK_EQUAL(cuDeviceGetUuid(&uuid, 0), CUDA_SUCCESS);
    CHECK_EQUAL((unsigned char)uuid.bytes[15], strtoul(first_version + strlen(first_version) - 2, NULL, 16));
}

static void cuda_counts_one_instance_and_nothing_else(void)
{
    int count, multiprocessors;
    size_t bytes;
    make_instances();
    setenv("CUDA_VISIBLE_DEVICES", SMALL "," WHOLE, 1);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDeviceGetCount(&count), CUDA_SUCCESS);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(cuDeviceTotalMem_v2(&bytes, 0), CUDA_SUCCESS);
    CHECK_EQUAL(bytes, 134217728);
    CHECK_EQUAL(cuDeviceGetAttribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0), CUDA_SUCCESS);
    CHECK_EQUAL(multiprocessors, 16);
    check_uuids(SMALL, SPLIT);
    CHECK_EQUAL(allocate(129), CUDA_ERROR_OUT_OF_MEMORY);
}

static void cuda_takes_the_first_instance_by_itself(void)
{
    make_instances();
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    check_uuids(LARGE, SPLIT);
}

static void without_instances_cuda_has_the_whole_gpus(void)
{
    int count;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDeviceGetCount(&count), CUDA_SUCCESS);
    CHECK_EQUAL(count, 1);
    check_uuids(WHOLE, WHOLE);
}

static int hold(int mebibytes)
{
    setenv("CUDA_VISIBLE_DEVICES", SMALL, 1);
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate((unsigned)mebibytes), CUDA_SUCCESS);
    open_gate(&ready);
    pass_gate(&go);
    return 0;
}

static unsigned list(const char *uuid, nvmlProcessInfo_t processes[4])
{
    unsigned count = 4;
    CHECK_EQUAL(nvmlDeviceGetComputeRunningProcesses(find(uuid), &count, processes), NVML_SUCCESS);
    return count;
}

static void processes_are_listed_by_instance(void)
{
    nvmlProcessInfo_t processes[4];
    nvmlUtilization_t utilization;
    make_instances();
    ready = make_gate(), go = make_gate();
    pid_t child = start(hold, 100);
    pass_gate(&ready);
    CHECK_EQUAL(list(LARGE, processes), 0);
    CHECK_EQUAL(list(WHOLE, processes), 0);
    CHECK_EQUAL(list(SMALL, processes), 1);
    CHECK_EQUAL(processes[0].pid, child);
    CHECK_EQUAL(processes[0].usedGpuMemory, 100 * MIB);
    CHECK_EQUAL(list(SPLIT, processes), 1);
    CHECK_EQUAL(processes[0].gpuInstanceId, 2);
    CHECK_EQUAL(nvmlDeviceGetUtilizationRates(find(SMALL), &utilization), NVML_ERROR_NOT_SUPPORTED);
    open_gate(&go);
    CHECK_EQUAL(finish(child), 0);
}

static const struct test tests[] = {
    {"inventory", "instances are found below the GPU that is split", instances_are_below_their_gpu, profile},
    {"layout", "instances come and go under a running program", the_layout_changes_under_a_running_program, profile},
    {"cuda", "a process has one instance at most", cuda_counts_one_instance_and_nothing_else, profile},
    {"first", "the first instance is the default", cuda_takes_the_first_instance_by_itself, profile},
    {"none", "a GPU that is split into nothing cannot be used", without_instances_cuda_has_the_whole_gpus, profile},
    {"processes", "processes are listed by instance", processes_are_listed_by_instance, profile},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
