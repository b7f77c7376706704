#include "library.h"

#include "../device/queue.h"

#include <string.h>

#define MEMORY_V2 NVML_STRUCT_VERSION(Memory, 2)

/* Of all instances, where the GPU is split. */
static uint64_t used_bytes(const struct fg_gpu *gpu)
{
    uint64_t used = fg_state_used_bytes(fg_machine_number(gpu));
    const struct fg_gpu *instance;
    for (unsigned i = 0; gpu->mig_mode && (instance = fg_machine_instance(gpu, i)); i++)
        used += fg_state_used_bytes(fg_machine_number(instance));
    return used;
}

static uint64_t free_bytes(const struct fg_gpu *gpu, uint64_t used)
{
    uint64_t capacity = gpu->memory_bytes - gpu->reserved_bytes;
    return capacity > used ? capacity - used : 0;
}

/* Version 1 counts the reserved part as used. */
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    FG_GPU(gpu, device, memory);
    memory->total = gpu->memory_bytes;
    memory->free = free_bytes(gpu, used_bytes(gpu));
    memory->used = memory->total - memory->free;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    FG_GPU(gpu, device, memory);
    if (memory->version != MEMORY_V2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = gpu->memory_bytes;
    memory->reserved = gpu->reserved_bytes;
    memory->used = used_bytes(gpu);
    memory->free = free_bytes(gpu, memory->used);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    FG_GPU(gpu, device, memory);
    memory->bar1Total = (unsigned long long)128 << 30;
    memory->bar1Used = (unsigned long long)1 << 20;
    memory->bar1Free = memory->bar1Total - memory->bar1Used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    FG_GPU(gpu, device, utilization);
    if (gpu->mig_mode)
        return NVML_ERROR_NOT_SUPPORTED;
    utilization->gpu = fg_queue_busy_percent(fg_machine_number(gpu));
    utilization->memory = utilization->gpu / 2;
    return NVML_SUCCESS;
}

/* The work between a sample and the one before it. */
static nvmlSample_t sample_of(const struct fg_meter *meter, uint64_t number)
{
    const struct fg_sample *last = &meter->samples[number % FG_SAMPLES];
    const struct fg_sample *before = &meter->samples[(number - 1) % FG_SAMPLES];
    uint64_t percent = (last->busy_ns - before->busy_ns) * 100 / (last->at_ns - before->at_ns);
    return (nvmlSample_t){.timeStamp = last->at_ns / 1000, .sampleValue = {.uiVal = (unsigned)percent}};
}

/* Those that the caller has not seen, of how busy the GPU was; no others are kept. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long last_seen,
                                  nvmlValueType_t *kind, unsigned int *count, nvmlSample_t *out)
{
    FG_GPU(gpu, device, count);
    if (type != NVML_GPU_UTILIZATION_SAMPLES || gpu->mig_mode)
        return NVML_ERROR_NOT_SUPPORTED;
    const struct fg_meter *meter = &fg_queue_hold(fg_machine_number(gpu))->meter;
    uint64_t first = meter->sample_count > FG_SAMPLES ? meter->sample_count - FG_SAMPLES : 0;
    unsigned found = 0;
    for (uint64_t i = first + 1; i < meter->sample_count; i++) {
        nvmlSample_t one = sample_of(meter, i);
        if (one.timeStamp > last_seen && (!out || found < *count) && ++found && out)
            out[found - 1] = one;
    }
    fg_queue_release(fg_machine_number(gpu));
    *count = found;
    *kind = NVML_VALUE_TYPE_UNSIGNED_INT;
    return found ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetDynamicPstatesInfo(nvmlDevice_t device, nvmlGpuDynamicPstatesInfo_t *out)
{
    FG_GPU(gpu, device, out);
    if (gpu->mig_mode)
        return NVML_ERROR_NOT_SUPPORTED;
    *out = (nvmlGpuDynamicPstatesInfo_t){.utilization = {
        [NVML_GPU_UTILIZATION_DOMAIN_GPU] = {1, fg_queue_busy_percent(fg_machine_number(gpu)), 0, 0}}};
    return NVML_SUCCESS;
}

static unsigned list(const struct fg_gpu *gpu, struct fg_process_report reports[FG_MAX_PROCESSES])
{
    return fg_state_processes(fg_machine_number(gpu), reports, FG_MAX_PROCESSES);
}

static unsigned list_one(const struct fg_gpu *gpu, nvmlProcessInfo_t out[FG_MAX_PROCESSES], unsigned found)
{
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned gi = fg_machine_parent(gpu) ? gpu->gpu_instance : ~0u;
    unsigned ci = fg_machine_parent(gpu) ? gpu->compute_instance : ~0u;
    unsigned count = list(gpu, reports);
    for (unsigned i = 0; i < count && found < FG_MAX_PROCESSES; i++)
        out[found++] = (nvmlProcessInfo_t){(unsigned)reports[i].pid, reports[i].used_bytes, gi, ci};
    return found;
}

/* A split GPU lists those of its instances. */
static unsigned list_all(const struct fg_gpu *gpu, nvmlProcessInfo_t out[FG_MAX_PROCESSES])
{
    unsigned found = list_one(gpu, out, 0);
    const struct fg_gpu *instance;
    if (gpu->mig_mode && !fg_machine_parent(gpu))
        for (unsigned i = 0; (instance = fg_machine_instance(gpu, i)); i++)
            found = list_one(instance, out, found);
    return found;
}

/* All versions answer alike: the caller's array is filled, or, where it is too
 * small, only the count is set. */
static nvmlReturn_t check_room(unsigned int *room, unsigned found, const void *out)
{
    unsigned given = *room;
    *room = found;
    if (found > given)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    return found && !out ? NVML_ERROR_INVALID_ARGUMENT : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *out)
{
    FG_GPU(gpu, device, count);
    nvmlProcessInfo_t all[FG_MAX_PROCESSES];
    unsigned found = list_all(gpu, all);
    nvmlReturn_t result = check_room(count, found, out);
    for (unsigned i = 0; result == NVML_SUCCESS && i < found; i++)
        out[i] = all[i];
    return result;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *out)
{
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, out);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                  nvmlProcessInfo_v1_t *out)
{
    FG_GPU(gpu, device, count);
    nvmlProcessInfo_t all[FG_MAX_PROCESSES];
    unsigned found = list_all(gpu, all);
    nvmlReturn_t result = check_room(count, found, out);
    for (unsigned i = 0; result == NVML_SUCCESS && i < found; i++)
        out[i] = (nvmlProcessInfo_v1_t){all[i].pid, all[i].usedGpuMemory};
    return result;
}

/* Those that draw, or are clients of MPS: nobody, where the profile says nothing else. */
static nvmlReturn_t others(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *out)
{
    FG_GPU(gpu, device, count);
    if (fg_nvml_machine()->profile.in_all_lists)
        return nvmlDeviceGetComputeRunningProcesses_v3(device, count, out);
    *count = 0;
    return NVML_SUCCESS;
}

static nvmlReturn_t first_others(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *out)
{
    FG_GPU(gpu, device, count);
    if (fg_nvml_machine()->profile.in_all_lists)
        return nvmlDeviceGetComputeRunningProcesses(device, count, out);
    *count = 0;
    return NVML_SUCCESS;
}

#define OTHERS(list)                                                                                \
    nvmlReturn_t list##_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *out)        \
    {                                                                                              \
        return others(device, count, out);                                                         \
    }                                                                                              \
    nvmlReturn_t list##_v2(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v2_t *out)     \
    {                                                                                              \
        return others(device, count, out);                                                         \
    }                                                                                              \
    nvmlReturn_t list(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *out)          \
    {                                                                                              \
        return first_others(device, count, out);                                                   \
    }

OTHERS(nvmlDeviceGetGraphicsRunningProcesses)
OTHERS(nvmlDeviceGetMPSComputeRunningProcesses)

/* What a process did, in the samples that the caller has not seen. */
static nvmlProcessUtilizationSample_t utilization_of(const struct fg_schedule *schedule,
                                                     const struct fg_process_report *report,
                                                     uint64_t last_seen_us)
{
    return (nvmlProcessUtilizationSample_t){
        .pid = (unsigned)report->pid,
        .timeStamp = fg_meter_sampled_ns(&schedule->meter) / 1000,
        .smUtil = fg_meter_percent(&schedule->owners[report->number], &schedule->meter,
                                   last_seen_us * 1000),
    };
}

static nvmlReturn_t list_utilization(const struct fg_gpu *gpu, const struct fg_schedule *schedule,
                                     nvmlProcessUtilizationSample_t *out, unsigned int *count,
                                     unsigned long long last_seen)
{
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned found = list(gpu, reports);
    if (!found || fg_meter_sampled_ns(&schedule->meter) / 1000 <= last_seen)
        return NVML_ERROR_NOT_FOUND;
    nvmlReturn_t result = check_room(count, found, out);
    if (result == NVML_ERROR_INVALID_ARGUMENT)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; result == NVML_SUCCESS && i < found; i++)
        out[i] = utilization_of(schedule, &reports[i], last_seen);
    return result;
}

/* One sample per process. NOT_FOUND where there is none newer than the caller
 * has seen. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                             nvmlProcessUtilizationSample_t *out,
                                             unsigned int *count, unsigned long long last_seen)
{
    FG_GPU(gpu, device, count);
    if (gpu->mig_mode)
        return NVML_ERROR_NOT_SUPPORTED;
    const struct fg_schedule *schedule = fg_queue_hold(fg_machine_number(gpu));
    nvmlReturn_t result = list_utilization(gpu, schedule, out, count, last_seen);
    fg_queue_release(fg_machine_number(gpu));
    return result;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                   nvmlProcessesUtilizationInfo_t *info)
{
    FG_GPU(gpu, device, info);
    if (info->version != NVML_STRUCT_VERSION(ProcessesUtilizationInfo, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (gpu->mig_mode)
        return NVML_ERROR_NOT_SUPPORTED;
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned found = list(gpu, reports);
    nvmlReturn_t result = check_room(&info->processSamplesCount, found, info->procUtilArray);
    if (result == NVML_ERROR_INVALID_ARGUMENT)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    const struct fg_schedule *schedule = fg_queue_hold(fg_machine_number(gpu));
    for (unsigned i = 0; result == NVML_SUCCESS && i < found; i++) {
        nvmlProcessUtilizationSample_t one =
            utilization_of(schedule, &reports[i], info->lastSeenTimeStamp);
        info->procUtilArray[i] =
            (nvmlProcessUtilizationInfo_v1_t){.timeStamp = one.timeStamp, .pid = one.pid, .smUtil = one.smUtil};
    }
    fg_queue_release(fg_machine_number(gpu));
    return result;
}
