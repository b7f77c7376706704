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

/* Also of a MIG instance. */
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    nvmlReturn_t result = find(has_uuid, uuid, device);
    const struct fg_machine *machine = fg_nvml_machine();
    for (unsigned i = 0; result == NVML_ERROR_NOT_FOUND && i < machine->profile.gpu_count; i++) {
        const struct fg_gpu *gpu = &machine->profile.gpus[i];
        if (fg_machine_parent(gpu) && has_uuid(gpu, uuid) && fg_machine_has_instance(gpu)) {
            *device = handle_of(gpu);
            result = NVML_SUCCESS;
        }
    }
    return result;
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
    const struct fg_gpu *parent = fg_machine_parent(gpu);
    for (*index = 0; parent ? fg_machine_instance(parent, *index) != gpu : machine->gpus[*index] != gpu;)
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
    FG_WHOLE_GPU(gpu, device, minor);
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
