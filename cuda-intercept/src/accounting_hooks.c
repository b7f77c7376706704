/* What the driver remembers of processes, where its administrator wants that:
 * only of those of the share. One that has ended is in no ledger any more. */
#include <stdlib.h>
#include <string.h>

#include "processes.h"
#include "resolve.h"

#define PROCESSES_MAX 4096
#define NVML_ERROR_NOT_FOUND 6

nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    ci_pfn_nvmlDeviceGetAccountingPids real = CI_CALL(nvmlDeviceGetAccountingPids);
    struct ci_members members;
    unsigned int found = PROCESSES_MAX;
    unsigned int kept = 0;
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    if (count == NULL || !ci_members_of(&members, device))
        return real(device, count, pids);
    unsigned int room = *count;
    unsigned int *all = calloc(PROCESSES_MAX, sizeof(*all));
    nvmlReturn_t result = all == NULL ? NVML_ERROR_INSUFFICIENT_SIZE : real(device, &found, all);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < found; i++)
        if (ci_members_find(&members, all[i]) != NULL)
            all[kept++] = all[i];
    if (result == NVML_SUCCESS) {
        *count = kept;
        result = kept > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
    }
    if (result == NVML_SUCCESS && kept > 0 && pids == NULL)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS && kept > 0)
        memcpy(pids, all, kept * sizeof(*all));
    free(all);
    free(members.list);
    return result;
}

/* Whether the figures of a process are for this container's eyes. */
static bool is_shown(nvmlDevice_t device, unsigned int pid)
{
    struct ci_members members;
    if (!ci_members_of(&members, device))
        return true;
    bool is_member = ci_members_find(&members, pid) != NULL;
    free(members.list);
    return is_member;
}

nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats)
{
    ci_pfn_nvmlDeviceGetAccountingStats real = CI_CALL(nvmlDeviceGetAccountingStats);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    return is_shown(device, pid) ? real(device, pid, stats) : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetAccountingStats_v2(nvmlDevice_t device, nvmlAccountingStats_v2_t *stats)
{
    ci_pfn_nvmlDeviceGetAccountingStats_v2 real = CI_CALL(nvmlDeviceGetAccountingStats_v2);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    return stats == NULL || is_shown(device, stats->pid) ? real(device, stats) : NVML_ERROR_NOT_FOUND;
}
