/* What is remembered of processes: here only while they live. Off unless the
 * profile turns it on, as a driver's administrator would. */
#include "library.h"

static bool is_on(void)
{
    const struct fg_machine *machine = fg_nvml_machine();
    return machine && machine->profile.accounting;
}

static unsigned list(const struct fg_gpu *gpu, struct fg_process_report reports[FG_MAX_PROCESSES])
{
    return fg_state_processes(fg_machine_number(gpu), reports, FG_MAX_PROCESSES);
}

nvmlReturn_t nvmlDeviceGetAccountingMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    FG_GPU(gpu, device, mode);
    *mode = is_on() ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    FG_GPU(gpu, device, count);
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned found = is_on() ? list(gpu, reports) : 0, room = *count;
    if (!is_on())
        return NVML_ERROR_NOT_SUPPORTED;
    *count = found;
    if (found > room || (found && !pids))
        return found > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < found; i++)
        pids[i] = (unsigned)reports[i].pid;
    return NVML_SUCCESS;
}

static bool find(const struct fg_gpu *gpu, unsigned pid, struct fg_process_report *out)
{
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned found = list(gpu, reports);
    for (unsigned i = 0; i < found; i++)
        if ((unsigned)reports[i].pid == pid) {
            *out = reports[i];
            return true;
        }
    return false;
}

nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats)
{
    FG_GPU(gpu, device, stats);
    struct fg_process_report report;
    if (!is_on())
        return NVML_ERROR_NOT_SUPPORTED;
    if (!find(gpu, pid, &report))
        return NVML_ERROR_NOT_FOUND;
    *stats = (nvmlAccountingStats_t){.maxMemoryUsage = report.used_bytes, .isRunning = 1};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingStats_v2(nvmlDevice_t device, nvmlAccountingStats_v2_t *stats)
{
    FG_GPU(gpu, device, stats);
    struct fg_process_report report;
    if (!is_on())
        return NVML_ERROR_NOT_SUPPORTED;
    if (!find(gpu, stats->pid, &report))
        return NVML_ERROR_NOT_FOUND;
    *stats = (nvmlAccountingStats_v2_t){.pid = stats->pid, .maxMemoryUsage = report.used_bytes, .isRunning = 1};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *out)
{
    FG_GPU(gpu, device, out);
    struct fg_process_report reports[FG_MAX_PROCESSES];
    unsigned found = list(gpu, reports), room = out->numProcArrayEntries;
    if (out->version != NVML_STRUCT_VERSION(ProcessDetailList, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    out->numProcArrayEntries = found;
    if (found > room || (found && !out->procArray))
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < found; i++)
        out->procArray[i] = (nvmlProcessDetail_v1_t){
            .pid = (unsigned)reports[i].pid,
            .usedGpuMemory = reports[i].used_bytes,
            .gpuInstanceId = ~0u,
            .computeInstanceId = ~0u,
        };
    return NVML_SUCCESS;
}
