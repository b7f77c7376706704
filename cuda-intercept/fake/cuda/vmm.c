/* Virtual memory management. Physical memory is a memory file of the host,
 * mapped wherever the program says; it stays on the device until no handle and
 * no mapping is left. A file that came from elsewhere costs nothing here. */
#include "driver.h"
#include "fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct physical {
    int file;
    uint64_t bytes;
    const struct fg_gpu *gpu; /* NULL: on the host, or imported */
    CUmemAllocationProp properties;
    unsigned handles, mappings;
};

struct mapping {
    CUdeviceptr address;
    uint64_t bytes;
    struct physical *physical;
    struct mapping *next;
};

static struct mapping *mappings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards mappings and counts */

static struct physical *find(CUmemGenericAllocationHandle handle)
{
    return (struct physical *)(uintptr_t)handle;
}

static void drop_if_unused(struct physical *physical)
{
    if (physical->handles || physical->mappings)
        return;
    if (physical->gpu)
        fg_vacate(physical->gpu, physical->bytes);
    close(physical->file);
    free(physical);
}

void fg_physical_keep(CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&lock);
    find(handle)->mappings++;
    pthread_mutex_unlock(&lock);
}

void fg_physical_let_go(CUmemGenericAllocationHandle handle)
{
    pthread_mutex_lock(&lock);
    struct physical *physical = find(handle);
    physical->mappings--;
    drop_if_unused(physical);
    pthread_mutex_unlock(&lock);
}

static CUresult make(int file, uint64_t bytes, const CUmemAllocationProp *properties,
                     const struct fg_gpu *gpu, CUmemGenericAllocationHandle *out)
{
    struct physical *made = calloc(1, sizeof *made);
    if (!made || file < 0) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *made = (struct physical){file, bytes, gpu, *properties, 1, 0};
    *out = (uintptr_t)made;
    return CUDA_SUCCESS;
}

static CUresult create(CUmemGenericAllocationHandle *out, size_t bytes,
                       const CUmemAllocationProp *properties)
{
    const struct fg_gpu *gpu = NULL;
    if (properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
        !(gpu = fg_device(properties->location.id)))
        return CUDA_ERROR_INVALID_DEVICE;
    if (gpu && !fg_occupy(gpu, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    int file = memfd_create("fake-gpu", MFD_CLOEXEC);
    CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
    if (file >= 0 && !ftruncate(file, (off_t)bytes))
        result = make(file, bytes, properties, gpu, out);
    if (result != CUDA_SUCCESS && gpu)
        fg_vacate(gpu, bytes);
    return result;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *out, size_t bytes,
                     const CUmemAllocationProp *properties, unsigned long long flags)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || !bytes || bytes % FG_GRANULARITY || !properties || flags)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemCreate", create(out, bytes, properties));
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    CUresult result = fg_fault_before("cuMemRelease");
    if (!handle || result != CUDA_SUCCESS)
        return handle ? result : CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    struct physical *physical = find(handle);
    physical->handles--;
    drop_if_unused(physical);
    pthread_mutex_unlock(&lock);
    return fg_fault_after("cuMemRelease", CUDA_SUCCESS);
}

CUresult cuMemGetAllocationGranularity(size_t *out, const CUmemAllocationProp *properties,
                                       CUmemAllocationGranularity_flags option)
{
    (void)option;
    if (!out || !properties)
        return CUDA_ERROR_INVALID_VALUE;
    *out = FG_GRANULARITY;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *out,
                                                CUmemGenericAllocationHandle handle)
{
    if (!out || !handle)
        return CUDA_ERROR_INVALID_VALUE;
    *out = find(handle)->properties;
    return CUDA_SUCCESS;
}

CUresult cuMemAddressReserve(CUdeviceptr *out, size_t bytes, size_t alignment, CUdeviceptr wanted,
                             unsigned long long flags)
{
    (void)wanted;
    uint64_t unit = alignment > FG_GRANULARITY ? alignment : FG_GRANULARITY;
    if (!out || !bytes || bytes % FG_GRANULARITY || flags)
        return CUDA_ERROR_INVALID_VALUE;
    char *area = mmap(NULL, bytes + unit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = fg_round_up((uintptr_t)area, unit);
    return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes)
{
    return munmap((void *)(uintptr_t)address, bytes) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

static CUresult map(CUdeviceptr address, size_t bytes, struct physical *physical)
{
    struct mapping *made = malloc(sizeof *made);
    int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    void *there = (void *)(uintptr_t)address;
    if (!made || mmap(there, bytes, PROT_READ | PROT_WRITE, flags, physical->file, 0) == MAP_FAILED) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_lock(&lock);
    *made = (struct mapping){address, bytes, physical, mappings};
    mappings = made;
    physical->mappings++;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
    if (!address || !bytes || bytes % FG_GRANULARITY || offset || !handle || flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > find(handle)->bytes)
        return CUDA_ERROR_INVALID_VALUE;
    return FG_FAULTY("cuMemMap", map(address, bytes, find(handle)));
}

/* Mappings are undone whole; the range may hold several. */
static CUresult unmap(CUdeviceptr address, size_t bytes)
{
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    for (struct mapping **link = &mappings, *one = *link; one; one = *link) {
        if (one->address < address || one->address + one->bytes > address + bytes) {
            link = &one->next;
            continue;
        }
        *link = one->next;
        one->physical->mappings--;
        drop_if_unused(one->physical);
        free(one);
        result = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    if (result == CUDA_SUCCESS &&
        mmap((void *)(uintptr_t)address, bytes, PROT_NONE, flags, -1, 0) == MAP_FAILED)
        result = CUDA_ERROR_OUT_OF_MEMORY;
    return result;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes)
{
    return FG_FAULTY("cuMemUnmap", unmap(address, bytes));
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc *access, size_t count)
{
    return address && bytes && access && count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr address)
{
    if (!flags || !location || !address)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return CUDA_SUCCESS;
}

/* The same handle once more, as long as there is a mapping. */
static CUresult retain(CUmemGenericAllocationHandle *out, CUdeviceptr wanted)
{
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    for (struct mapping *one = mappings; one && result != CUDA_SUCCESS; one = one->next) {
        if (wanted < one->address || wanted - one->address >= one->bytes)
            continue;
        one->physical->handles++;
        *out = (uintptr_t)one->physical;
        result = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *out, void *address)
{
    return FG_FAULTY("cuMemRetainAllocationHandle", retain(out, (uintptr_t)address));
}

CUresult cuMemExportToShareableHandle(void *out, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags)
{
    if (!out || !handle || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags)
        return CUDA_ERROR_INVALID_VALUE;
    int file = dup(find(handle)->file);
    *(int *)out = file;
    return file < 0 ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_SUCCESS;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *out, void *os_handle,
                                        CUmemAllocationHandleType type)
{
    struct stat status;
    CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    int file = (int)(intptr_t)os_handle;
    if (!out || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || fstat(file, &status))
        return CUDA_ERROR_INVALID_VALUE;
    return make(dup(file), (uint64_t)status.st_size, &properties, NULL, out);
}
