#include "library.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static nvmlDevice_t handle_of(const struct fg_gpu *gpu)
{
    return (nvmlDevice_t)(uintptr_t)gpu;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    const struct fg_machine *machine = fg_nvml_machine();
    if (!machine)
        return NVML_ERROR_UNINITIALIZED;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = machine->gpu_count;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count)
{
    return nvmlDeviceGetCount_v2(count);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    const struct fg_machine *machine = fg_nvml_machine();
    if (!machine)
        return NVML_ERROR_UNINITIALIZED;
    if (!device || index >= machine->gpu_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = handle_of(machine->gpus[index]);
    nvmlReturn_t result;
    fg_nvml_gpu(*device, &result);
    return result;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static bool has_uuid(const struct fg_gpu *gpu, const char *uuid)
{
    return !strcmp(gpu->uuid, uuid);
}

static bool has_serial(const struct fg_gpu *gpu, const char *serial)
{
    return *serial && !strcmp(gpu->serial, serial);
}

/* Domains are written with four digits or with eight. */
static bool has_bus_id(const struct fg_gpu *gpu, const char *bus_id)
{
    size_t skip = strlen(gpu->pci) - strlen(bus_id);
    return strlen(bus_id) <= strlen(gpu->pci) && !strcasecmp(gpu->pci + skip, bus_id);
}

static nvmlReturn_t find(bool (*matches)(const struct fg_gpu *, const char *), const char *wanted,
                         nvmlDevice_t *device)
{
    const struct fg_machine *machine = fg_nvml_machine();
    if (!machine)
        return NVML_ERROR_UNINITIALIZED;
    if (!wanted || !device)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < machine->gpu_count; i++) {
        if (matches(machine->gpus[i], wanted)) {
            *device = handle_of(machine->gpus[i]);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return find(has_uuid, uuid, device);
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    return find(has_serial, serial, device);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    return find(has_bus_id, bus_id, device);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByPciBusId_v2(bus_id, device);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    FG_GPU(gpu, device, index);
    const struct fg_machine *machine = fg_nvml_machine();
    for (*index = 0; machine->gpus[*index] != gpu;)
        ++*index;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    FG_GPU(gpu, device, uuid);
    return fg_nvml_text(gpu->uuid, uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    FG_GPU(gpu, device, name);
    return fg_nvml_text(gpu->name, name, length);
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    FG_GPU(gpu, device, serial);
    return *gpu->serial ? fg_nvml_text(gpu->serial, serial, length) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor)
{
    FG_GPU(gpu, device, minor);
    *minor = gpu->minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand)
{
    FG_GPU(gpu, device, brand);
    *brand = strncmp(gpu->name, "Tesla", 5) ? NVML_BRAND_NVIDIA : NVML_BRAND_TESLA;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    FG_GPU(gpu, device, major && minor);
    *major = (int)gpu->compute_major;
    *minor = (int)gpu->compute_minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture)
{
    FG_GPU(gpu, device, architecture);
    *architecture = (nvmlDeviceArchitecture_t)gpu->architecture;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *cores)
{
    FG_GPU(gpu, device, cores);
    *cores = (unsigned)(gpu->multiprocessors * gpu->cores_per_multiprocessor);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int *bits)
{
    FG_GPU(gpu, device, bits);
    *bits = (unsigned)gpu->memory_bus_bits;
    return NVML_SUCCESS;
}

/* MIG can be had from Ampere's data center chips on; no profile enables it yet. */
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending)
{
    FG_GPU(gpu, device, current && pending);
    if (gpu->compute_major < 8 || (gpu->compute_major == 8 && gpu->compute_minor))
        return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig)
{
    FG_GPU(gpu, device, is_mig);
    *is_mig = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    unsigned int current, pending;
    FG_GPU(gpu, device, count);
    bool enabled = nvmlDeviceGetMigMode(device, &current, &pending) == NVML_SUCCESS &&
                   current == NVML_DEVICE_MIG_ENABLE;
    *count = enabled ? 7 : 0;
    return NVML_SUCCESS;
}
