/* What belongs to another process or API: its memory is charged there and costs
 * nothing here. The contents are not shared: nobody looks at them. */
#include "memory.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct shared_memory {
    uint64_t address;
    uint64_t bytes;
};

struct CUextMemory_st {
    uint64_t bytes;
};

static CUresult describe(CUdeviceptr address, void *out, size_t size)
{
    struct fg_allocation allocation;
    if (!out || !fg_memory_find(address, &allocation) || allocation.address != address)
        return CUDA_ERROR_INVALID_VALUE;
    memset(out, 0, size);
    memcpy(out, &(struct shared_memory){allocation.address, allocation.bytes}, sizeof(struct shared_memory));
    return CUDA_SUCCESS;
}

static CUresult import(CUdeviceptr *out, const void *description)
{
    struct shared_memory shared;
    memcpy(&shared, description, sizeof shared);
    return fg_memory_allocate(FG_IMPORTED, shared.bytes, 0, out);
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *out, CUdeviceptr address)
{
    return describe(address, out, sizeof *out);
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *out, CUipcMemHandle handle, unsigned int flags)
{
    return flags == CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS ? import(out, &handle) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *out, CUipcMemHandle handle, unsigned int flags)
{
    return cuIpcOpenMemHandle_v2(out, handle, flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr address)
{
    struct fg_allocation allocation;
    if (!fg_memory_find(address, &allocation) || allocation.kind != FG_IMPORTED)
        return CUDA_ERROR_INVALID_VALUE;
    return fg_memory_free(address);
}

CUresult cuMemPoolExportToShareableHandle(void *out, CUmemoryPool pool,
                                          CUmemAllocationHandleType type, unsigned long long flags)
{
    if (!out || !pool || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags)
        return CUDA_ERROR_INVALID_VALUE;
    int file = memfd_create("fake-gpu-pool", MFD_CLOEXEC);
    *(int *)out = file;
    return file < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *out, void *handle,
                                            CUmemAllocationHandleType type, unsigned long long flags)
{
    (void)handle;
    if (!out || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags)
        return CUDA_ERROR_INVALID_VALUE;
    CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUresult result = cuMemPoolCreate(out, &properties);
    if (result == CUDA_SUCCESS)
        (*out)->imported = true;
    return result;
}

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData *out, CUdeviceptr address)
{
    return describe(address, out, sizeof *out);
}

CUresult cuMemPoolImportPointer(CUdeviceptr *out, CUmemoryPool pool, CUmemPoolPtrExportData *data)
{
    return pool && pool->imported && data ? import(out, data) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuImportExternalMemory(CUexternalMemory *out, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *from)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    CUexternalMemory made = out && from ? malloc(sizeof *made) : NULL;
    if (!made)
        return CUDA_ERROR_INVALID_VALUE;
    made->bytes = from->size;
    *out = made;
    return CUDA_SUCCESS;
}

/* The buffer is freed with cuMemFree. */
CUresult cuExternalMemoryGetMappedBuffer(CUdeviceptr *out, CUexternalMemory memory,
                                         const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *buffer)
{
    if (!memory || !buffer || buffer->offset + buffer->size > memory->bytes)
        return CUDA_ERROR_INVALID_VALUE;
    return fg_memory_allocate(FG_IMPORTED, buffer->size, 0, out);
}

CUresult cuDestroyExternalMemory(CUexternalMemory memory)
{
    if (!memory)
        return CUDA_ERROR_INVALID_HANDLE;
    free(memory);
    return CUDA_SUCCESS;
}
