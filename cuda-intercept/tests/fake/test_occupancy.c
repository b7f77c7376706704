/* What lies on the device without being linear memory, and faults on demand. */
#include "cuda_check.h"
#include "../../fake/kernels.h"

#include <signal.h>
#include <unistd.h>

#define PROFILE(keys)                                                                              \
    "cuda 13000\n" keys "name X\nmemory_bytes 1073741824\nmultiprocessors 8\n"                     \
    "gpu 0\nuuid GPU-00000000-0000-4000-8000-0000000000a0\npci 00000000:01:00.0\n"

static const CUmemAllocationProp on_device = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
static const CUmemPoolProps pool_on_device = {
    .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

static void physical_memory_stays_while_it_is_mapped(void)
{
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr address;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemCreate(&handle, 100 * MIB, &on_device, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAddressReserve(&address, 100 * MIB, 0, 0, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemMap(address, 100 * MIB, 0, handle, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemRelease(handle), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(cuMemRetainAllocationHandle(&again, (char *)(uintptr_t)address + MIB), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemUnmap(address, 100 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(cuMemRelease(again), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(cuMemCreate(&handle, 3 * MIB, &on_device, 0), CUDA_ERROR_INVALID_VALUE);
    CHECK_EQUAL(cuMemCreate(&handle, 1026 * MIB, &on_device, 0), CUDA_ERROR_OUT_OF_MEMORY);
}

static void one_handle_mapped_twice_is_one_memory(void)
{
    CUmemGenericAllocationHandle handle;
    CUdeviceptr address;
    unsigned value = 0;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemCreate(&handle, 2 * MIB, &on_device, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAddressReserve(&address, 4 * MIB, 0, 0, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemMap(address, 2 * MIB, 0, handle, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemMap(address + 2 * MIB, 2 * MIB, 0, handle, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemsetD32_v2(address, 4711, 1), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemcpyDtoH_v2(&value, address + 2 * MIB, 4), CUDA_SUCCESS);
    CHECK_EQUAL(value, 4711);
    CHECK_EQUAL(free_mebibytes(), 1022);
    CHECK_EQUAL(cuMemUnmap(address, 4 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemRelease(handle), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static cuuint64_t pool_figure(CUmemoryPool pool, CUmemPool_attribute name)
{
    cuuint64_t value = 0;
    CHECK_EQUAL(cuMemPoolGetAttribute(pool, name, &value), CUDA_SUCCESS);
    return value / MIB;
}

static void pools_reserve_chunks_and_keep_them(void)
{
    CUmemoryPool pool;
    CUdeviceptr one, other;
    cuuint64_t threshold = 40 * MIB;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolCreate(&pool, &pool_on_device), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAllocFromPoolAsync(&one, 10 * MIB, pool, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 992);
    CHECK_EQUAL(cuMemAllocFromPoolAsync(&other, 90 * MIB, pool, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 896);
    CHECK_EQUAL(pool_figure(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 100);
    CHECK_EQUAL(pool_figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 128);
    CHECK_EQUAL(cuMemFreeAsync(other, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 896);
    CHECK_EQUAL(cuStreamSynchronize(NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 960);
    CHECK_EQUAL(cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 992);
    CHECK_EQUAL(pool_figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), 128);
    CHECK_EQUAL(cuMemPoolDestroy(pool), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 992);
    CHECK_EQUAL(cuMemFreeAsync(one, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static void idle_pools_make_room(void)
{
    CUdeviceptr address;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemAllocAsync(&address, 600 * MIB, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemFreeAsync(address, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(1000), CUDA_SUCCESS);
}

static CUgraphExec graph_of(size_t bytes, int freed)
{
    CUgraph graph;
    CUgraphNode node;
    CUgraphExec made;
    CUDA_MEM_ALLOC_NODE_PARAMS allocation = {.poolProps = pool_on_device, .bytesize = bytes};
    CHECK_EQUAL(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &allocation), CUDA_SUCCESS);
    if (freed)
        CHECK_EQUAL(cuGraphAddMemFreeNode(&node, graph, &node, 1, allocation.dptr), CUDA_SUCCESS);
    CHECK_EQUAL(cuGraphInstantiateWithFlags(&made, graph, 0), CUDA_SUCCESS);
    return made;
}

static void graphs_reserve_at_launch_and_share_it(void)
{
    cuuint64_t reserved = 0;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CUgraphExec one = graph_of(100 * MIB, 1), other = graph_of(60 * MIB, 1), left = graph_of(20 * MIB, 0);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(cuGraphLaunch(one, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuGraphLaunch(other, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(cuGraphLaunch(left, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(cuGraphLaunch(one, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 904);
    CHECK_EQUAL(cuGraphExecDestroy(one), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 904);
    CHECK_EQUAL(cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, &reserved), CUDA_SUCCESS);
    CHECK_EQUAL(reserved, 20 * MIB);
    CHECK_EQUAL(free_mebibytes(), 1004);
}

static void arrays_take_computed_memory(void)
{
    CUDA_ARRAY_DESCRIPTOR flat = {16384, 1024, CU_AD_FORMAT_FLOAT, 1};
    CUDA_ARRAY3D_DESCRIPTOR deep = {1024, 1024, 16, CU_AD_FORMAT_HALF, 2, 0};
    CUarray array, second;
    CUmipmappedArray levels;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuArrayCreate_v2(&array, &flat), CUDA_SUCCESS);
    CHECK_EQUAL(cuArray3DCreate_v2(&second, &deep), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 896);
    CHECK_EQUAL(cuMipmappedArrayCreate(&levels, &deep, 3), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 822);
    CHECK_EQUAL(cuArrayDestroy(array), CUDA_SUCCESS);
    CHECK_EQUAL(cuArrayDestroy(array), CUDA_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(cuArrayDestroy(second), CUDA_SUCCESS);
    CHECK_EQUAL(cuMipmappedArrayDestroy(levels), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static void code_and_green_contexts_cost_memory(void)
{
    CUmodule module;
    CUlibrary library;
    CUgreenCtx green;
    CUdevResource resource;
    CUdevResourceDesc description;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, KERNELS), CUDA_SUCCESS);
    CHECK_EQUAL(cuLibraryLoadData(&library, KERNELS, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1008);
    CHECK_EQUAL(cuDeviceGetDevResource(0, &resource, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevResourceGenerateDesc(&description, &resource, 1), CUDA_SUCCESS);
    CHECK_EQUAL(cuGreenCtxCreate(&green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 992);
    CHECK_EQUAL(cuGreenCtxDestroy(green), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleUnload(module), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1016);
    CHECK_EQUAL(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

#define DATA_OF_24_MIB                                                                             \
    ".version 6.3\n.target sm_50\n.address_size 64\n.visible .global .align 16 .b8 one[16777216];\n" \
    ".visible .global .align 16 .b8 two[8388608];\n.visible .entry first()\n{\n    ret;\n}\n"

static void global_data_of_libraries_may_be_lazy(void)
{
    CUmodule module;
    CUlibrary library;
    CUkernel kernel;
    CUfunction function;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuLibraryLoadData(&library, DATA_OF_24_MIB, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(cuLibraryGetKernel(&kernel, library, "first"), CUDA_SUCCESS);
    CHECK_EQUAL(cuKernelGetFunction(&function, kernel), CUDA_SUCCESS);
    CHECK_EQUAL(cuFuncLoad(function), CUDA_SUCCESS);
    CHECK_EQUAL(cuFuncLoad(function), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1000);
    CHECK_EQUAL(cuLibraryUnload(library), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, DATA_OF_24_MIB), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1000);
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    CHECK_EQUAL(cuLibraryLoadData(&library, DATA_OF_24_MIB, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 976);
    CHECK_EQUAL(allocate(970), CUDA_SUCCESS);
    CUmodule second = NULL;
    CHECK_EQUAL(cuModuleLoadData(&second, DATA_OF_24_MIB), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(cuModuleUnload(module), CUDA_SUCCESS);
    CHECK_EQUAL(cuLibraryUnload(library), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 54);
}

static void variables_load_the_data_that_they_are_part_of(void)
{
    CUmodule module;
    CUlibrary library;
    CUdeviceptr one, two;
    size_t bytes;
    unsigned char written[2] = {1, 2}, read[2] = {0};
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoadData(&module, DATA_OF_24_MIB), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(cuModuleGetGlobal_v2(&two, &bytes, module, "two"), CUDA_SUCCESS);
    CHECK_EQUAL(bytes, 8 * MIB);
    CHECK_EQUAL(free_mebibytes(), 1000);
    CHECK_EQUAL(cuModuleGetGlobal_v2(&one, NULL, module, "one"), CUDA_SUCCESS);
    CHECK_EQUAL(two - one, 16 * MIB);
    CHECK_EQUAL(cuModuleGetGlobal_v2(&one, NULL, module, "tw"), CUDA_ERROR_NOT_FOUND);
    CHECK_EQUAL(cuMemcpyHtoD_v2(two + bytes - 2, written, 2), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemcpyDtoH_v2(read, two + bytes - 2, 2), CUDA_SUCCESS);
    CHECK_EQUAL(read[1], 2);
    CHECK_EQUAL(cuLibraryLoadData(&library, DATA_OF_24_MIB, NULL, NULL, 0, NULL, NULL, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuLibraryGetGlobal(&one, &bytes, library, "one"), CUDA_SUCCESS);
    CHECK_EQUAL(bytes, 16 * MIB);
    CHECK_EQUAL(free_mebibytes(), 976);
    CHECK_EQUAL(cuLibraryUnload(library), CUDA_SUCCESS);
    CHECK_EQUAL(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static CUresult launch_once(CUmodule module, const char *name)
{
    CUfunction function;
    CUresult result = cuModuleGetFunction(&function, module, name);
    return result == CUDA_SUCCESS ? cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) : result;
}

static void launches_take_what_they_need(void)
{
    CUmodule module;
    CUfunction function;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleLoad(&module, "/proc/self/exe"), CUDA_SUCCESS);
    CHECK_EQUAL(cuModuleGetFunction(&function, module, "first"), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
    CHECK_EQUAL(cuFuncLoad(function), CUDA_SUCCESS);
    CHECK_EQUAL(launch_once(module, "first"), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1020);
    CHECK_EQUAL(launch_once(module, "fake_local_5120"), CUDA_SUCCESS); /* 4 KiB more for 8 x 2048 threads */
    CHECK_EQUAL(free_mebibytes(), 952);
    CHECK_EQUAL(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 3072), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 952);
    CHECK_EQUAL(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 9216), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 888);
    CHECK_EQUAL(cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 108 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 888);
    CHECK_EQUAL(launch_once(module, "first"), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 788);
    CHECK_EQUAL(cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 1 << 20), CUDA_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(cuModuleUnload(module), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 796);
    CHECK_EQUAL(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 1024);
}

static void imports_cost_nothing(void)
{
    CUmemGenericAllocationHandle handle, imported;
    CUdeviceptr address, opened;
    CUipcMemHandle ipc;
    CUmemoryPool pool, pool_here;
    CUmemPoolPtrExportData pointer;
    int file = -1;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemCreate(&handle, 100 * MIB, &on_device, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)file,
                                               CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(cuMemRelease(imported), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 924);
    CHECK_EQUAL(cuMemAlloc_v2(&address, 24 * MIB), CUDA_SUCCESS);
    CHECK_EQUAL(cuIpcGetMemHandle(&ipc, address), CUDA_SUCCESS);
    CHECK_EQUAL(cuIpcOpenMemHandle_v2(&opened, ipc, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolCreate(&pool, &pool_on_device), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolExportToShareableHandle(&file, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolImportFromShareableHandle(&pool_here, (void *)(intptr_t)file,
                                                   CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolExportPointer(&pointer, address), CUDA_SUCCESS);
    CHECK_EQUAL(cuMemPoolImportPointer(&opened, pool_here, &pointer), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 900);
    CHECK_EQUAL(cuMemFreeAsync(opened, NULL), CUDA_SUCCESS);
    CHECK_EQUAL(free_mebibytes(), 900);
}

static int allocate_twice(int unused)
{
    (void)unused;
    CHECK_EQUAL(use_gpu(0), CUDA_SUCCESS);
    CHECK_EQUAL(allocate(10), CUDA_SUCCESS);
    return (int)allocate(10);
}

static void faults_come_when_they_are_asked_for(void)
{
    setenv("FAKE_GPU_FAULTS", "fail:cuMemAlloc:2", 1);
    CHECK_EQUAL(finish(start(allocate_twice, 0)), CUDA_ERROR_OUT_OF_MEMORY);
    setenv("FAKE_GPU_FAULTS", "kill:cuMemAlloc:2", 1);
    CHECK_EQUAL(finish(start(allocate_twice, 0)), 128 + SIGKILL);
    setenv("FAKE_GPU_FAULTS", "kill-after:cuMemAlloc:2", 1);
    CHECK_EQUAL(finish(start(allocate_twice, 0)), 128 + SIGKILL);
    setenv("FAKE_GPU_FAULTS", "kill:cuMemAlloc:3", 1);
    CHECK_EQUAL(finish(start(allocate_twice, 0)), CUDA_SUCCESS);
}

static const struct test tests[] = {
    {"vmm", "physical memory stays until it is unmapped and released", physical_memory_stays_while_it_is_mapped, NULL},
    {"alias", "a handle mapped twice is one memory", one_handle_mapped_twice_is_one_memory, NULL},
    {"pools", "pools reserve chunks and keep them up to their threshold", pools_reserve_chunks_and_keep_them,
     PROFILE("pool_chunk_bytes 33554432\n")},
    {"room", "what pools do not use makes room for others", idle_pools_make_room, NULL},
    {"graphs", "graphs of a GPU share what their launches reserve", graphs_reserve_at_launch_and_share_it, NULL},
    {"arrays", "arrays take what their descriptor says", arrays_take_computed_memory, NULL},
    {"code", "modules, libraries and green contexts cost what the profile says", code_and_green_contexts_cost_memory,
     PROFILE("module_bytes 8388608\ngreen_context_bytes 16777216\n")},
    {"data", "global data comes with a module, and with a library or its first function", global_data_of_libraries_may_be_lazy,
     PROFILE("")},
    {"variables", "asking for a variable loads the data of its image", variables_load_the_data_that_they_are_part_of,
     PROFILE("lazy_module_data 1\n")},
    {"growth", "launches and limits take what they need of the context's GPU", launches_take_what_they_need,
     PROFILE("function_bytes 4194304\ngrowth_percent 100\n")},
    {"imports", "memory of another process costs nothing here", imports_cost_nothing, NULL},
    {"faults", "a call fails or kills when it is told to", faults_come_when_they_are_asked_for, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
