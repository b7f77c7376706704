/* GPUs that MIG splits, and their instances. */
#include "library.h"

#define MIB (1ull << 20)
#define MAX_INSTANCES 7

/* MIG can be had from Ampere's data center chips on. */
static bool can_be_split(const struct fg_gpu *gpu)
{
    return gpu->compute_major > 8 || (gpu->compute_major == 8 && !gpu->compute_minor);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending)
{
    FG_WHOLE_GPU(gpu, device, current && pending);
    if (!can_be_split(gpu))
        return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = gpu->mig_mode ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig)
{
    FG_GPU(gpu, device, is_mig);
    *is_mig = fg_machine_parent(gpu) != NULL;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    FG_WHOLE_GPU(gpu, device, count);
    *count = can_be_split(gpu) && gpu->mig_mode ? MAX_INSTANCES : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *instance)
{
    FG_WHOLE_GPU(gpu, device, instance);
    if (!can_be_split(gpu) || index >= MAX_INSTANCES)
        return can_be_split(gpu) ? NVML_ERROR_INVALID_ARGUMENT : NVML_ERROR_NOT_SUPPORTED;
    *instance = (nvmlDevice_t)(uintptr_t)fg_machine_instance(gpu, index);
    return *instance ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

/* What follows is asked of instances only. */
static const struct fg_gpu *find_instance(nvmlDevice_t handle, nvmlReturn_t *result)
{
    const struct fg_gpu *gpu = fg_nvml_gpu(handle, result);
    if (!gpu || fg_machine_parent(gpu))
        return gpu;
    *result = NVML_ERROR_INVALID_ARGUMENT;
    return NULL;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device, nvmlDevice_t *parent)
{
    FG_FOUND(find_instance, gpu, device, parent);
    *parent = (nvmlDevice_t)(uintptr_t)fg_machine_parent(gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
    FG_FOUND(find_instance, gpu, device, id);
    *id = gpu->gpu_instance;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
    FG_FOUND(find_instance, gpu, device, id);
    *id = gpu->compute_instance;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    FG_FOUND(find_instance, gpu, device, attributes);
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = (unsigned)gpu->multiprocessors,
        .gpuInstanceSliceCount = (unsigned)(gpu->mig_profile[0] - '0'),
        .computeInstanceSliceCount = (unsigned)(gpu->mig_profile[0] - '0'),
        .memorySizeMB = gpu->memory_bytes / MIB,
    };
    return NVML_SUCCESS;
}
