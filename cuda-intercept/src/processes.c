#include "processes.h"

#include <stdlib.h>

#include "../include/share_env.h"
#include "config.h"
#include "nvml_device.h"
#include "resolve.h"

/* A GPU that is split has no share itself, and lists what runs on its instances. */
static void add_instances(const struct ci_config *config, nvmlDevice_t device, struct ci_device *found)
{
    ci_pfn_nvmlDeviceGetMaxMigDeviceCount count_of = CI_CALL(nvmlDeviceGetMaxMigDeviceCount);
    ci_pfn_nvmlDeviceGetMigDeviceHandleByIndex handle_of = CI_CALL(nvmlDeviceGetMigDeviceHandleByIndex);
    unsigned int count;
    nvmlDevice_t instance;
    if (count_of == NULL || handle_of == NULL || count_of(device, &count) != NVML_SUCCESS)
        return;
    for (unsigned int i = 0; i < count; i++) {
        if (handle_of(device, i, &instance) != NVML_SUCCESS)
            continue;
        struct ci_device part = ci_device_of_nvml(config, instance);
        for (int j = 0; j < part.count && found->count < CI_MAX_PARTS; j++)
            found->shares[found->count++] = part.shares[j];
    }
}

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
    if (found.access == CI_ACCESS_CLOSED)
        add_instances(config, device, &found);
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
