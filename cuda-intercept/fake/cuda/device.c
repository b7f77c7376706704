#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KIB 1024

struct attribute {
    CUdevice_attribute name;
    int value;
};

/* What does not differ between the GPUs that profiles describe. Attributes
 * that are in no table are 0: not supported. */
static const struct attribute common_attributes[] = {
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y, 1024},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z, 64},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 48 * KIB},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 227 * KIB},
    {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 228 * KIB},
    {CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK, KIB},
    {CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY, 64 * KIB},
    {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
    {CU_DEVICE_ATTRIBUTE_MAX_PITCH, 2147483647},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, 65536},
    {CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR, 65536},
    {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 2048},
    {CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR, 32},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT, 32},
    {CU_DEVICE_ATTRIBUTE_SURFACE_ALIGNMENT, 512},
    {CU_DEVICE_ATTRIBUTE_GPU_OVERLAP, 1},
    {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT, 3},
    {CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS, 1},
    {CU_DEVICE_ATTRIBUTE_ECC_ENABLED, 1},
    {CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 1},
    {CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_GLOBAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_LOCAL_L1_CACHE_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 1},
    {CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED, 0},
    {CU_DEVICE_ATTRIBUTE_SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO, 2},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1},
    {CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 1},
    {CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 1},
    {CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, CU_COMPUTEMODE_DEFAULT},
};

static const struct fg_gpu *find(CUdevice device, CUresult *result)
{
    const struct fg_gpu *gpu = NULL;
    *result = fg_ready();
    if (*result == CUDA_SUCCESS && !(gpu = fg_device(device)))
        *result = CUDA_ERROR_INVALID_DEVICE;
    return gpu;
}

static void parse_pci(const struct fg_gpu *gpu, unsigned out[3])
{
    sscanf(gpu->pci, "%x:%x:%x", &out[0], &out[1], &out[2]);
}

static int gpu_attribute(const struct fg_gpu *gpu, CUdevice_attribute name, int otherwise)
{
    unsigned pci[3] = {0};
    parse_pci(gpu, pci);
    switch (name) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return (int)gpu->compute_major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        return (int)gpu->compute_minor;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        return (int)gpu->multiprocessors;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
        return (int)gpu->sm_clock_mhz * 1000;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
        return (int)gpu->memory_clock_mhz * 1000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
        return (int)gpu->memory_bus_bits;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        return (int)gpu->l2_bytes;
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
        return (int)pci[0];
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        return (int)pci[1];
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        return (int)pci[2];
    case CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID:
        return (int)gpu->numa_node;
    default:
        return otherwise;
    }
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    CUresult result;
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (find(ordinal, &result))
        *device = ordinal;
    return result;
}

CUresult cuDeviceGetCount(int *count)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = (int)fg_device_count();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!name || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)length, "%s", gpu->name);
    return CUDA_SUCCESS;
}

/* The 16 bytes that "GPU-xxxxxxxx-xxxx-..." spells. */
static void parse_uuid(const char *text, CUuuid *uuid)
{
    unsigned half = 0;
    memset(uuid, 0, sizeof *uuid);
    for (const char *at = strchr(text, '-'); at && *at && half < 32; at++) {
        if (*at == '-')
            continue;
        const char digit[2] = {*at, 0};
        int value = (int)strtol(digit, NULL, 16);
        uuid->bytes[half / 2] = (char)(uuid->bytes[half / 2] | value << (half % 2 ? 0 : 4));
        half++;
    }
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    const struct fg_gpu *parent = fg_machine_parent(gpu);
    parse_uuid(parent ? parent->uuid : gpu->uuid, uuid);
    return CUDA_SUCCESS;
}

/* Unlike the first version, this one names the MIG instance. */
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    parse_uuid(gpu->uuid, uuid);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *bytes = fg_capacity_bytes(gpu);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute name, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!value || name <= 0 || name >= CU_DEVICE_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    for (size_t i = 0; i < sizeof common_attributes / sizeof *common_attributes; i++)
        if (common_attributes[i].name == name)
            *value = common_attributes[i].value;
    *value = gpu_attribute(gpu, name, *value);
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!major || !minor)
        return CUDA_ERROR_INVALID_VALUE;
    *major = (int)gpu->compute_major;
    *minor = (int)gpu->compute_minor;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *out, int length, CUdevice device)
{
    CUresult result;
    const struct fg_gpu *gpu = find(device, &result);
    if (!gpu)
        return result;
    if (!out || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned pci[3] = {0};
    parse_pci(gpu, pci);
    snprintf(out, (size_t)length, "%04X:%02X:%02X.0", pci[0], pci[1], pci[2]);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *bus_id)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    unsigned wanted[3] = {0}, pci[3] = {0};
    if (!device || !bus_id || sscanf(bus_id, "%x:%x:%x", &wanted[0], &wanted[1], &wanted[2]) != 3)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < fg_device_count(); i++) {
        parse_pci(fg_device((CUdevice)i), pci);
        if (!memcmp(pci, wanted, sizeof pci)) {
            *device = (CUdevice)i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

static bool linked(const struct fg_gpu *one, const struct fg_gpu *other)
{
    for (unsigned i = 0; i < one->link_count; i++)
        if (!strcasecmp(one->links[i], other->pci))
            return true;
    return false;
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
    CUresult result;
    const struct fg_gpu *one = find(device, &result);
    const struct fg_gpu *other = one ? find(peer, &result) : NULL;
    if (!other)
        return result;
    if (!can)
        return CUDA_ERROR_INVALID_VALUE;
    *can = one != other && linked(one, other);
    return CUDA_SUCCESS;
}
