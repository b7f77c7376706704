#include "processes.h"

#include <stdlib.h>

#include "../include/share_env.h"
#include "config.h"
#include "nvml_device.h"

/* Processes of another pid namespace have no number here, and are left out. */
bool ci_members_of(struct ci_members *members, nvmlDevice_t device)
{
    struct ci_config *config = ci_config_get();
    /* outside a container of ours, ledgers are private and know too little */
    if (config == NULL || config->mode != CI_MODE_FILES)
        return false;
    struct ci_device found = ci_device_of_nvml(config, device);
    if (found.access == CI_ACCESS_FREE || found.access == CI_ACCESS_UNKNOWN)
        return false;
    int capacity = (found.count == 0 ? 1 : found.count) * HAMI_USAGE_SLOT_COUNT;
    *members = (struct ci_members){0, malloc((size_t)capacity * sizeof(struct ci_member))};
    if (members->list == NULL)
        return false;
    for (int i = 0; i < found.count; i++) {
        struct ci_region *region = &config->shares[found.shares[i]].region;
        if (ci_region_is_ready(region))
            ci_region_sweep(region);
        members->count += ci_region_members(region, ci_pid_namespace(), members->list + members->count,
                                            capacity - members->count);
    }
    /* a process is in several shares of the GPU */
    for (int i = 0; i < members->count; i++)
        for (int other = members->count - 1; other > i; other--)
            if (members->list[other].pid == members->list[i].pid) {
                members->list[i].bytes += members->list[other].bytes;
                members->list[other] = members->list[--members->count];
            }
    return true;
}

const struct ci_member *ci_members_find(const struct ci_members *members, uint32_t pid)
{
    for (int i = 0; i < members->count; i++)
        if (members->list[i].pid == pid)
            return &members->list[i];
    return NULL;
}
