#include "library.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void fill_pci(const struct fg_gpu *gpu, nvmlPciInfo_t *pci)
{
    memset(pci, 0, sizeof *pci);
    sscanf(gpu->pci, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    pci->pciDeviceId = (unsigned)gpu->pci_device_id;
    pci->pciSubSystemId = (unsigned)gpu->pci_subsystem_id;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "%04X:%02X:%02X.0", pci->domain & 0xffff,
             pci->bus & 0xff, pci->device & 0xff);
    snprintf(pci->busId, sizeof pci->busId, "%s", gpu->pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    FG_WHOLE_GPU(gpu, device, pci);
    fill_pci(gpu, pci);
    return NVML_SUCCESS;
}

/* Version 2 has the fields of version 3; version 1 ends before the last two. */
nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetPciInfo_v3(device, pci);
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    FG_WHOLE_GPU(gpu, device, pci);
    nvmlPciInfo_t all;
    fill_pci(gpu, &all);
    memcpy(pci, &all, offsetof(nvmlPciInfo_t, pciSubSystemId));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
    FG_WHOLE_GPU(gpu, device, node);
    if (gpu->numa_node < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    *node = (unsigned)gpu->numa_node;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int words,
                                         unsigned long *nodes, nvmlAffinityScope_t scope)
{
    (void)scope;
    FG_WHOLE_GPU(gpu, device, nodes && words);
    if (gpu->numa_node < 0)
        return NVML_ERROR_NOT_SUPPORTED;
    memset(nodes, 0, words * sizeof *nodes);
    unsigned node = (unsigned)gpu->numa_node, bits = 8 * sizeof *nodes;
    if (node / bits < words)
        nodes[node / bits] |= 1ul << node % bits;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t one, nvmlDevice_t other,
                                                 nvmlGpuTopologyLevel_t *level)
{
    FG_GPU(first, one, level);
    nvmlReturn_t result;
    const struct fg_gpu *second = fg_nvml_gpu(other, &result);
    if (!second)
        return result;
    if (first == second)
        *level = NVML_TOPOLOGY_INTERNAL;
    else
        *level = first->numa_node == second->numa_node ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link,
                                      nvmlEnableState_t *active)
{
    FG_GPU(gpu, device, active);
    if (!gpu->link_count)
        return NVML_ERROR_NOT_SUPPORTED;
    if (link >= FG_MAX_LINKS)
        return NVML_ERROR_INVALID_ARGUMENT;
    *active = link < gpu->link_count ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

/* A far end that is no GPU of the profile is a switch: only its bus id is known. */
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link,
                                                 nvmlPciInfo_t *pci)
{
    FG_WHOLE_GPU(gpu, device, pci);
    if (!gpu->link_count)
        return NVML_ERROR_NOT_SUPPORTED;
    if (link >= gpu->link_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    const struct fg_profile *profile = &fg_nvml_machine()->profile;
    struct fg_gpu far_end = {0};
    snprintf(far_end.pci, sizeof far_end.pci, "%s", gpu->links[link]);
    for (unsigned i = 0; i < profile->gpu_count; i++)
        if (!strcasecmp(profile->gpus[i].pci, gpu->links[link]))
            far_end = profile->gpus[i];
    fill_pci(&far_end, pci);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t device, unsigned int link,
                                              nvmlPciInfo_t *pci)
{
    return nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link, pci);
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link,
                                        unsigned int *version)
{
    FG_GPU(gpu, device, version);
    if (!gpu->link_count)
        return NVML_ERROR_NOT_SUPPORTED;
    if (link >= gpu->link_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *version = gpu->compute_major >= 9 ? 4 : 3;
    return NVML_SUCCESS;
}
