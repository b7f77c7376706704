/* NVML's view of memory, as nvidia-smi shows it. A reader of NVML joins no share. */
#include <string.h>

#include "nvml_device.h"
#include "resolve.h"

#define UUID_TEXT_BYTES 96

struct ci_device ci_device_of_nvml(const struct ci_config *config, nvmlDevice_t device)
{
    ci_pfn_nvmlDeviceGetUUID uuid_of = CI_CALL(nvmlDeviceGetUUID);
    ci_pfn_nvmlDeviceGetIndex index_of = CI_CALL(nvmlDeviceGetIndex);
    const struct ci_device unknown = {.access = CI_ACCESS_UNKNOWN};
    char text[UUID_TEXT_BYTES];
    unsigned char uuid[CI_UUID_BYTES];
    unsigned int index;
    if (uuid_of == NULL || uuid_of(device, text, sizeof(text)) != NVML_SUCCESS)
        return unknown;
    text[sizeof(text) - 1] = '\0';
    if (!ci_parse_uuid(text, strlen(text), uuid))
        return unknown;
    if (index_of == NULL || index_of(device, &index) != NVML_SUCCESS)
        index = UINT16_MAX;
    return ci_device_find(config, uuid, (int)index);
}

static struct ci_memory report(nvmlDevice_t device, struct ci_memory physical)
{
    struct ci_config *config = ci_config_get();
    if (config == NULL)
        return physical;
    struct ci_device found = ci_device_of_nvml(config, device);
    return ci_ledger_report(config, &found, physical);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    ci_pfn_nvmlDeviceGetMemoryInfo real = CI_CALL(nvmlDeviceGetMemoryInfo);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, memory);
    if (result != NVML_SUCCESS || memory == NULL)
        return result;
    struct ci_memory shown = report(device, (struct ci_memory){memory->total, memory->used, memory->free});
    memory->total = shown.total;
    memory->used = shown.used;
    memory->free = shown.free;
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    ci_pfn_nvmlDeviceGetMemoryInfo_v2 real = CI_CALL(nvmlDeviceGetMemoryInfo_v2);
    if (real == NULL)
        return NVML_ERROR_LIBRARY_NOT_FOUND;
    nvmlReturn_t result = real(device, memory);
    if (result != NVML_SUCCESS || memory == NULL)
        return result;
    struct ci_memory physical = {memory->total, memory->used, memory->free};
    struct ci_memory shown = report(device, physical);
    if (shown.total != physical.total || shown.used != physical.used || shown.free != physical.free)
        memory->reserved = 0; /* the driver's own reserve is outside the share */
    memory->total = shown.total;
    memory->used = shown.used;
    memory->free = shown.free;
    return result;
}
