/* Run under the interceptor and the stub driver with a share of 1000 MiB: what
 * is charged for arrays and virtual memory, and when it comes back. */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "../src/generated/hooks.h"
#include "check.h"

#define MIB ((size_t)1 << 20)
#define LIMIT (1000 * MIB)
#define ADDRESS 0x7f0000000000ULL
#define FORMAT_FLOAT 0x20

static void *driver;

#define CALL(name) ((ci_pfn_##name)dlsym(driver, #name))

static size_t used(void)
{
    size_t free = 0;
    size_t total = 0;
    CHECK(CALL(cuMemGetInfo_v2)(&free, &total) == CUDA_SUCCESS);
    CHECK(total == LIMIT);
    return total - free;
}

static CUmemGenericAllocationHandle create(size_t size, CUresult expected)
{
    CUmemAllocationProp prop = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle = 0;
    CHECK(CALL(cuMemCreate)(&handle, size, &prop, 0) == expected);
    return handle;
}

/* A released handle stays charged as long as it is mapped, and mapping it twice needs two unmaps. */
static void mapped_memory_stays_charged(void)
{
    CUmemGenericAllocationHandle handle = create(600 * MIB, CUDA_SUCCESS);
    CHECK(used() == 600 * MIB);
    CHECK(CALL(cuMemMap)(ADDRESS, 600 * MIB, 0, handle, 0) == CUDA_SUCCESS);
    CHECK(CALL(cuMemMap)(ADDRESS + 600 * MIB, 600 * MIB, 0, handle, 0) == CUDA_SUCCESS);
    CHECK(CALL(cuMemRelease)(handle) == CUDA_SUCCESS);
    CHECK(used() == 600 * MIB);
    create(600 * MIB, CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuMemUnmap)(ADDRESS, 600 * MIB) == CUDA_SUCCESS);
    CHECK(used() == 600 * MIB);
    CHECK(CALL(cuMemUnmap)(ADDRESS + 600 * MIB, 600 * MIB) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* One unmap may undo mappings of several handles. */
static void one_unmap_covers_several_mappings(void)
{
    for (int i = 0; i < 3; i++) {
        CUmemGenericAllocationHandle handle = create(100 * MIB, CUDA_SUCCESS);
        CHECK(CALL(cuMemMap)(ADDRESS + (CUdeviceptr)i * 100 * MIB, 100 * MIB, 0, handle, 0) == CUDA_SUCCESS);
        CHECK(CALL(cuMemRelease)(handle) == CUDA_SUCCESS);
    }
    CHECK(used() == 300 * MIB);
    CHECK(CALL(cuMemUnmap)(ADDRESS, 300 * MIB) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* A handle asked back from a mapping keeps the memory after the unmap. */
static void retained_handle_keeps_memory(void)
{
    CUmemGenericAllocationHandle handle = create(200 * MIB, CUDA_SUCCESS);
    CUmemGenericAllocationHandle again = 0;
    CHECK(CALL(cuMemMap)(ADDRESS, 200 * MIB, 0, handle, 0) == CUDA_SUCCESS);
    CHECK(CALL(cuMemRelease)(handle) == CUDA_SUCCESS);
    CHECK(CALL(cuMemRetainAllocationHandle)(&again, (void *)(uintptr_t)ADDRESS) == CUDA_SUCCESS);
    CHECK(CALL(cuMemUnmap)(ADDRESS, 200 * MIB) == CUDA_SUCCESS);
    CHECK(used() == 200 * MIB);
    CHECK(CALL(cuMemRelease)(again) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* Memory of the host is nobody's share. */
static void host_locations_are_free(void)
{
    CUmemAllocationProp prop = {.type = 1, .location = {2, 0}};
    CUmemGenericAllocationHandle handle = 0;
    CHECK(CALL(cuMemCreate)(&handle, 2 * LIMIT, &prop, 0) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* Arrays are charged by their descriptor; sparse ones get their memory later. */
static void arrays_are_charged(void)
{
    CUDA_ARRAY_DESCRIPTOR flat = {16384, 4096, FORMAT_FLOAT, 1};
    CUDA_ARRAY3D_DESCRIPTOR deep = {1024, 1024, 64, FORMAT_FLOAT, 2, 0};
    CUDA_ARRAY3D_DESCRIPTOR sparse = {1 << 20, 1 << 20, 64, FORMAT_FLOAT, 4, CUDA_ARRAY3D_SPARSE};
    CUDA_ARRAY3D_DESCRIPTOR huge = {SIZE_MAX / 2, SIZE_MAX / 2, SIZE_MAX / 2, FORMAT_FLOAT, 4, 0};
    CUarray first, second, third;
    CUmipmappedArray levels;
    CHECK(CALL(cuArrayCreate_v2)(&first, &flat) == CUDA_SUCCESS);
    CHECK(used() == 256 * MIB);
    CHECK(CALL(cuArray3DCreate_v2)(&second, &deep) == CUDA_SUCCESS);
    CHECK(used() == 768 * MIB);
    CHECK(CALL(cuArrayCreate_v2)(&third, &flat) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuArray3DCreate_v2)(&third, &huge) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuArray3DCreate_v2)(&third, &sparse) == CUDA_SUCCESS);
    CHECK(CALL(cuArrayDestroy)(second) == CUDA_SUCCESS && CALL(cuArrayDestroy)(third) == CUDA_SUCCESS);
    CHECK(CALL(cuMipmappedArrayCreate)(&levels, &deep, 8) == CUDA_SUCCESS);
    CHECK(used() > 768 * MIB && used() < LIMIT);
    CHECK(CALL(cuMipmappedArrayDestroy)(levels) == CUDA_SUCCESS);
    CHECK(CALL(cuArrayDestroy)(first) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* What lives in a context is given back with it; what does not, is not. */
static void context_takes_its_memory_along(void)
{
    CUdeviceptr address;
    CUcontext context;
    CUmemGenericAllocationHandle handle = create(100 * MIB, CUDA_SUCCESS);
    CHECK(CALL(cuMemAlloc_v2)(&address, 50 * MIB) == CUDA_SUCCESS);
    CHECK(CALL(cuMemAlloc_v2)(&address, 50 * MIB) == CUDA_SUCCESS);
    CHECK(CALL(cuCtxGetCurrent)(&context) == CUDA_SUCCESS);
    CHECK(CALL(cuCtxDestroy_v2)(context) == CUDA_SUCCESS);
    CHECK(used() == 100 * MIB);
    CHECK(CALL(cuMemRelease)(handle) == CUDA_SUCCESS);
    CHECK(used() == 0);
}

/* A failed or foreign free changes nothing. */
static void failed_calls_change_nothing(void)
{
    CUdeviceptr address;
    CHECK(CALL(cuMemAlloc_v2)(&address, 50 * MIB) == CUDA_SUCCESS);
    CHECK(CALL(cuMemFree_v2)(0) != CUDA_SUCCESS);
    CHECK(CALL(cuMemFree_v2)(address + 8) == CUDA_SUCCESS);
    CHECK(CALL(cuMemAlloc_v2)(&address, 0) != CUDA_SUCCESS);
    CHECK(used() == 50 * MIB);
}

/* Old programs' calls, whose addresses and sizes are of 32 bits. */
static void first_versions_are_charged(void)
{
    CUDA_ARRAY_DESCRIPTOR_v1 flat = {16384, 4096, FORMAT_FLOAT, 1};
    CUDA_ARRAY3D_DESCRIPTOR_v1 deep = {1024, 1024, 64, FORMAT_FLOAT, 2, 0};
    CUdeviceptr_v1 address, rows, none;
    CUarray first, second, third;
    unsigned int pitch;
    size_t before = used();
    CHECK(CALL(cuMemAlloc)(&address, 100 * MIB) == CUDA_SUCCESS);
    CHECK(CALL(cuMemAllocPitch)(&rows, &pitch, 1000, 1024, 4) == CUDA_SUCCESS);
    CHECK(used() == before + 104 * MIB); /* by the driver's pitch of 4096 */
    CHECK(CALL(cuArrayCreate)(&first, &flat) == CUDA_SUCCESS);
    CHECK(CALL(cuArray3DCreate)(&second, &deep) == CUDA_SUCCESS);
    CHECK(used() == before + 872 * MIB);
    CHECK(CALL(cuMemAlloc)(&none, 100 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuMemAllocPitch)(&none, &pitch, 4096, 100 * 256, 4) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuMemAllocPitch)(&none, &pitch, 2049, 30000, 4) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuArrayCreate)(&third, &flat) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuArray3DCreate)(&third, &deep) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(CALL(cuMemFree)(address) == CUDA_SUCCESS && CALL(cuMemFree)(rows) == CUDA_SUCCESS);
    CHECK(CALL(cuArrayDestroy)(first) == CUDA_SUCCESS && CALL(cuArrayDestroy)(second) == CUDA_SUCCESS);
    CHECK(used() == before);
}

/* Of either width. */
static void reports_show_the_share(void)
{
    unsigned int free = 0, total = 0;
    size_t wide = 0;
    size_t taken = used();
    CHECK(CALL(cuMemGetInfo)(&free, &total) == CUDA_SUCCESS && total == LIMIT && total - free == taken);
    CHECK(CALL(cuDeviceTotalMem)(&total, 0) == CUDA_SUCCESS && total == LIMIT);
    CHECK(CALL(cuDeviceTotalMem_v2)(&wide, 0) == CUDA_SUCCESS && wide == LIMIT);
    CHECK(CALL(cuDeviceTotalMem_v2)(&wide, 1) == 101);
}

static void *look_up(const char *name, int version)
{
    CUdriverProcAddressQueryResult status = -1;
    void *found = NULL;
    CHECK(CALL(cuGetProcAddress_v2)(name, &found, version, 0, &status) == CUDA_SUCCESS && status == 0);
    return found;
}

/* Functions that only the look-up hands out are held by the limit. */
static void unexported_functions_are_hooked(void)
{
    CUdeviceptr address;
    CUdeviceptr other;
    size_t before = used();
    ci_pfn_cuMemAlloc_v2 alloc = look_up("cuMemAlloc", 12000);
    ci_pfn_cuMemAllocManaged alloc_managed = look_up("cuMemAllocManaged", 12000);
    CHECK(alloc(&address, 600 * MIB) == CUDA_SUCCESS);
    CHECK(alloc_managed(&other, 400 * MIB, 1) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(alloc_managed(&other, 300 * MIB, 1) == CUDA_SUCCESS);
    CHECK(used() == before + 900 * MIB);
    CHECK(CALL(cuMemFree_v2)(address) == CUDA_SUCCESS && CALL(cuMemFree_v2)(other) == CUDA_SUCCESS);
    CHECK(used() == before);
}

/* A newer driver's version of a function has other parameters: no hook stands for it. */
static void unknown_versions_stay_the_drivers(void)
{
    CUdeviceptr address = 0;
    size_t before = used();
    CUresult (*newer)(CUdeviceptr *, size_t, unsigned int) = look_up("cuMemAlloc", 14000);
    CHECK((void *)newer == dlsym(driver, "cuMemAlloc_v9"));
    CHECK(newer(&address, 2 * LIMIT, 77) == CUDA_SUCCESS && address == 77);
    CHECK(used() == before);
}

int main(void)
{
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    CHECK(driver != NULL && CALL(cuInit)(0) == CUDA_SUCCESS);
    if (driver == NULL)
        return 1;
    mapped_memory_stays_charged();
    one_unmap_covers_several_mappings();
    retained_handle_keeps_memory();
    host_locations_are_free();
    arrays_are_charged();
    context_takes_its_memory_along();
    failed_calls_change_nothing();
    first_versions_are_charged();
    reports_show_the_share();
    unexported_functions_are_hooked();
    unknown_versions_stay_the_drivers();
    return failures != 0;
}
