#include "fault.h"
#include "memory.h"
#include "waits.h"

#define PITCH_BYTES 512

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes)
{
    return FG_FAULTY("cuMemAlloc", fg_memory_allocate(FG_DEVICE, bytes, 0, out));
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *out, size_t *pitch, size_t width, size_t height,
                            unsigned int element_bytes)
{
    if (!pitch || !width || !height)
        return CUDA_ERROR_INVALID_VALUE;
    if (element_bytes != 4 && element_bytes != 8 && element_bytes != 16)
        return CUDA_ERROR_INVALID_VALUE;
    size_t row = (width + PITCH_BYTES - 1) / PITCH_BYTES * PITCH_BYTES;
    if (row < width || row > SIZE_MAX / height)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result =
        FG_FAULTY("cuMemAllocPitch", fg_memory_allocate(FG_DEVICE, row * height, 0, out));
    if (result == CUDA_SUCCESS)
        *pitch = row;
    return result;
}

CUresult cuMemAllocManaged(CUdeviceptr *out, size_t bytes, unsigned int flags)
{
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemAllocManaged", fg_memory_allocate(FG_MANAGED, bytes, flags, out));
}

CUresult cuMemFree_v2(CUdeviceptr address)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS || !address)
        return result;
    struct fg_allocation allocation;
    if (!fg_memory_find(address, &allocation) || allocation.kind == FG_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    fg_waits("cuMemFree");
    fg_context_wait(allocation.context);
    return FG_FAULTY("cuMemFree", fg_memory_free(address));
}

static CUresult read_free(size_t *free, size_t *total)
{
    CUresult result;
    CUcontext context = fg_current(&result);
    if (!context)
        return result;
    if (!free || !total)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t capacity = fg_capacity_bytes(context->gpu);
    uint64_t used = fg_state_used_bytes(context->number);
    *total = capacity;
    *free = capacity > used ? capacity - used : 0;
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    return FG_FAULTY("cuMemGetInfo", read_free(free, total));
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr address)
{
    struct fg_allocation allocation;
    if (!fg_memory_find(address, &allocation))
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = allocation.address;
    if (bytes)
        *bytes = allocation.bytes;
    return CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned int flags)
{
    CUdeviceptr address = 0;
    if (!out)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = fg_memory_allocate(FG_HOST, bytes, flags, &address);
    if (result == CUDA_SUCCESS)
        *out = (void *)(uintptr_t)address;
    return result;
}

CUresult cuMemAllocHost_v2(void **out, size_t bytes)
{
    return cuMemHostAlloc(out, bytes, 0);
}

CUresult cuMemFreeHost(void *address)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS || !address)
        return result;
    struct fg_allocation allocation;
    if (!fg_memory_find((uintptr_t)address, &allocation) || allocation.kind != FG_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    return fg_memory_free((uintptr_t)address);
}

CUresult cuMemHostRegister_v2(void *address, size_t bytes, unsigned int flags)
{
    return fg_memory_register(address, bytes, flags);
}

CUresult cuMemHostUnregister(void *address)
{
    struct fg_allocation allocation;
    if (!fg_memory_find((uintptr_t)address, &allocation) || allocation.kind != FG_REGISTERED)
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    return fg_memory_free((uintptr_t)address);
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *out, void *address, unsigned int flags)
{
    struct fg_allocation allocation;
    if (!out || flags || !fg_memory_find((uintptr_t)address, &allocation))
        return CUDA_ERROR_INVALID_VALUE;
    *out = (uintptr_t)address;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *address)
{
    struct fg_allocation allocation;
    if (!flags || !fg_memory_find((uintptr_t)address, &allocation))
        return CUDA_ERROR_INVALID_VALUE;
    *flags = allocation.flags;
    return CUDA_SUCCESS;
}

static CUmemorytype memory_type(enum fg_kind kind)
{
    return kind == FG_HOST || kind == FG_REGISTERED ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
}

static CUresult describe(const struct fg_allocation *allocation, CUpointer_attribute name,
                         CUdeviceptr address, void *out)
{
    switch (name) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        *(CUcontext *)out = allocation->context;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(CUmemorytype *)out = memory_type(allocation->kind);
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        *(CUdeviceptr *)out = address;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        *(unsigned long long *)out = allocation->id;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *(unsigned *)out = allocation->kind == FG_MANAGED;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)out = allocation->context->ordinal;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *(CUdeviceptr *)out = allocation->address;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *(size_t *)out = allocation->bytes;
        return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_MAPPED:
        *(unsigned *)out = 1;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuPointerGetAttribute(void *out, CUpointer_attribute name, CUdeviceptr address)
{
    struct fg_allocation allocation;
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !fg_memory_find(address, &allocation))
        return CUDA_ERROR_INVALID_VALUE;
    return describe(&allocation, name, address, out);
}

/* Unlike the single form, an address that is not the driver's is no error. */
CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *names, void **out,
                                CUdeviceptr address)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!names || !out)
        return CUDA_ERROR_INVALID_VALUE;
    struct fg_allocation allocation;
    bool found = fg_memory_find(address, &allocation);
    for (unsigned i = 0; i < count; i++) {
        if (found)
            describe(&allocation, names[i], address, out[i]);
        else if (names[i] == CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
            *(unsigned *)out[i] = 0;
    }
    return CUDA_SUCCESS;
}
