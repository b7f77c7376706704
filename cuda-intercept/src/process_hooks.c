/*
 * NVML's lists of processes, as nvidia-smi and schedulers read them: only those of
 * the share, with what they hold of it. What the driver does not list, since it
 * has no number for it here, is taken from the ledger.
 */
#include <stdlib.h>
#include <string.h>

#include "nvml_device.h"
#include "processes.h"
#include "resolve.h"
#include "utilization.h"

#define PROCESSES_MAX 1024
#define NVML_ERROR_NOT_FOUND 6
#define NO_INSTANCE (~0u)

typedef nvmlReturn_t (*list_function)(nvmlDevice_t, unsigned int *, void *);

/* The two layouts that the versions of a list have. */
struct layout {
    size_t bytes;
    bool has_instances;
};

static const struct layout first = {sizeof(struct ci_nvml_process_v1), false};
static const struct layout newer = {sizeof(struct ci_nvml_process), true};

static void put(void *entries, size_t index, const struct layout *layout, struct ci_nvml_process process)
{
    if (layout->has_instances)
        ((struct ci_nvml_process *)entries)[index] = process;
    else
        ((struct ci_nvml_process_v1 *)entries)[index] = (struct ci_nvml_process_v1){process.pid, process.used};
}

static struct ci_nvml_process get(const void *entries, size_t index, const struct layout *layout)
{
    if (layout->has_instances)
        return ((const struct ci_nvml_process *)entries)[index];
    const struct ci_nvml_process_v1 *entry = &((const struct ci_nvml_process_v1 *)entries)[index];
    return (struct ci_nvml_process){entry->pid, entry->used, NO_INSTANCE, NO_INSTANCE};
}

static bool is_listed(const void *entries, unsigned int count, const struct layout *layout, uint32_t pid)
{
    for (unsigned int i = 0; i < count; i++)
        if (get(entries, i, layout).pid == pid)
            return true;
    return false;
}

/* Leaves the members in `entries`, and adds those that hold memory; returns how many. */
static unsigned int select(void *entries, unsigned int count, const struct layout *layout,
                           const struct ci_members *members, bool adds)
{
    unsigned int kept = 0;
    for (unsigned int i = 0; i < count; i++) {
        struct ci_nvml_process process = get(entries, i, layout);
        const struct ci_member *member = ci_members_find(members, process.pid);
        if (member == NULL)
            continue;
        process.used = member->bytes;
        put(entries, kept++, layout, process);
    }
    for (int i = 0; adds && i < members->count && kept < PROCESSES_MAX; i++)
        if (members->list[i].bytes > 0 && !is_listed(entries, kept, layout, members->list[i].pid))
            put(entries, kept++, layout,
                (struct ci_nvml_process){members->list[i].pid, members->list[i].bytes, NO_INSTANCE, NO_INSTANCE});
    return kept;
}

static nvmlReturn_t hand_over(const void *entries, unsigned int found, const struct layout *layout,
                              unsigned int *count, void *infos)
{
    unsigned int room = *count;
    *count = found;
    if (found > room)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    if (found > 0 && infos == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (found > 0)
        memcpy(infos, entries, found * layout->bytes);
    return NVML_SUCCESS;
}

static nvmlReturn_t list(list_function real, const struct layout *layout, bool adds, nvmlDevice_t device,
                         unsigned int *count, void *infos)
{
    struct ci_members members;
    unsigned int found = PROCESSES_MAX;
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    if (count == NULL || !ci_members_of(&members, device))
        return real(device, count, infos);
    void *entries = calloc(PROCESSES_MAX, layout->bytes);
    nvmlReturn_t result = entries == NULL ? NVML_ERROR_INSUFFICIENT_SIZE : real(device, &found, entries);
    if (result == NVML_SUCCESS) {
        found = select(entries, found, layout, &members, adds);
        result = hand_over(entries, found, layout, count, infos);
    }
    free(entries);
    free(members.list);
    return result;
}

#define LIST(name, layout, adds, type)                                                                                 \
    nvmlReturn_t name(nvmlDevice_t device, unsigned int *infoCount, type *infos)                                       \
    {                                                                                                                  \
        return list((list_function)CI_CALL(name), &layout, adds, device, infoCount, infos);                            \
    }

LIST(nvmlDeviceGetComputeRunningProcesses, first, true, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, newer, true, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, newer, true, nvmlProcessInfo_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses, first, false, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, newer, false, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, newer, false, nvmlProcessInfo_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, first, false, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, newer, false, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, newer, false, nvmlProcessInfo_t)

/* The part of the GPU that its shares have here, which utilization is shown of. */
static unsigned int whole_of(nvmlDevice_t device)
{
    const struct ci_config *config = ci_config_get();
    struct ci_device found = ci_device_of_nvml(config, device);
    return ci_utilization_whole(config, &found);
}

/* A question for the room that is needed (no entries given) may be told too much. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *utilization,
                                             unsigned int *processSamplesCount, unsigned long long lastSeenTimeStamp)
{
    ci_pfn_nvmlDeviceGetProcessUtilization real = CI_CALL(nvmlDeviceGetProcessUtilization);
    struct ci_members members;
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, utilization, processSamplesCount, lastSeenTimeStamp);
    if (result != NVML_SUCCESS || utilization == NULL || !ci_members_of(&members, device))
        return result;
    unsigned int kept = 0;
    unsigned int whole = whole_of(device);
    for (unsigned int i = 0; i < *processSamplesCount; i++)
        if (ci_members_find(&members, utilization[i].pid) != NULL) {
            utilization[kept] = utilization[i];
            utilization[kept].percents[0] = ci_utilization_relative(utilization[i].percents[0], whole);
            kept++;
        }
    free(members.list);
    *processSamplesCount = kept;
    return kept == 0 ? NVML_ERROR_NOT_FOUND : result;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *procesesUtilInfo)
{
    ci_pfn_nvmlDeviceGetProcessesUtilizationInfo real = CI_CALL(nvmlDeviceGetProcessesUtilizationInfo);
    nvmlProcessesUtilizationInfo_t *info = procesesUtilInfo;
    struct ci_members members;
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, info);
    if (result != NVML_SUCCESS || info->entries == NULL || !ci_members_of(&members, device))
        return result;
    unsigned int kept = 0;
    unsigned int whole = whole_of(device);
    for (unsigned int i = 0; i < info->count; i++)
        if (ci_members_find(&members, info->entries[i].pid) != NULL) {
            info->entries[kept] = info->entries[i];
            info->entries[kept].percents[0] = ci_utilization_relative(info->entries[i].percents[0], whole);
            kept++;
        }
    free(members.list);
    info->count = kept;
    return kept == 0 ? NVML_ERROR_NOT_FOUND : result;
}

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *plist)
{
    ci_pfn_nvmlDeviceGetRunningProcessDetailList real = CI_CALL(nvmlDeviceGetRunningProcessDetailList);
    struct ci_members members;
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, plist);
    if (result != NVML_SUCCESS || plist->entries == NULL || !ci_members_of(&members, device))
        return result;
    unsigned int kept = 0;
    for (unsigned int i = 0; i < plist->count; i++) {
        const struct ci_member *member = ci_members_find(&members, plist->entries[i].pid);
        if (member == NULL)
            continue;
        plist->entries[kept] = plist->entries[i];
        plist->entries[kept++].used = member->bytes;
    }
    free(members.list);
    plist->count = kept;
    return result;
}
