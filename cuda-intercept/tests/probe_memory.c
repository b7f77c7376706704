/* Memory of uncommon kinds, and threads that let go of the same memory at once: the first one's
 * call has worked then, and does not return before the second thread has made its own, for which
 * the fake driver holds it at $FAKE_GPU_HOLD. Ends with 0 where all that was there was charged,
 * and nothing is when it has gone. */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define LOOKUPS 200000
#define PATIENCE_SECONDS 30

static CUcontext context;
static CUmemGenericAllocationHandle handle;
static CUmemoryPool pool;
static CUmodule module;
static CUgraphExec graph;
static CUdeviceptr address;
static size_t at_first;
static const char image[64] = "\x7f" "ELF";

#define NEED(call)                                                                                                     \
    do {                                                                                                               \
        CUresult needed = (call);                                                                                      \
        if (needed != CUDA_SUCCESS) {                                                                                  \
            printf("%s: %d\n", #call, (int)needed);                                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static size_t charged(void)
{
    size_t free = 0;
    size_t total = 0;
    NEED(cuMemGetInfo_v2(&free, &total));
    return total - free;
}

static void expect(const char *what, size_t bytes)
{
    size_t found = charged() - at_first;
    if (found == bytes)
        return;
    printf("%s: %zu MiB are charged, not %zu\n", what, found / MIB, bytes / MIB);
    exit(1);
}

/* The held thread waits at the FIFO for a reader, and then for a writer. */
static void meet(int flags)
{
    close(open(getenv("FAKE_GPU_HOLD"), flags));
}

static void *release(void *unused)
{
    NEED(cuMemRelease(handle));
    return unused;
}

static void *free_memory(void *unused)
{
    NEED(cuCtxSetCurrent(context));
    NEED(cuMemFreeAsync(address, NULL));
    return unused;
}

static void *destroy(void *unused)
{
    NEED(cuMemPoolDestroy(pool));
    return unused;
}

static void *look_up(void *unused)
{
    CUfunction function;
    NEED(cuCtxSetCurrent(context));
    NEED(cuModuleGetFunction(&function, module, "kernel_0"));
    return unused;
}

static void *launch(void *unused)
{
    NEED(cuCtxSetCurrent(context));
    NEED(cuGraphLaunch(graph, NULL));
    return unused;
}

static pthread_t begin(void *(*work)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0)
        exit(1);
    meet(O_RDONLY);
    return thread;
}

static void finish(pthread_t thread)
{
    meet(O_WRONLY);
    pthread_join(thread, NULL);
}

static void map(size_t bytes)
{
    const CUmemAllocationProp on_device = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                           .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    NEED(cuMemCreate(&handle, bytes, &on_device, 0));
    NEED(cuMemAddressReserve(&address, bytes, 0, 0, 0));
    NEED(cuMemMap(address, bytes, 0, handle, 0));
}

/* The last name of mapped memory goes, and it gets one anew. */
static void retain_while_releasing(void)
{
    CUmemGenericAllocationHandle again;
    map(2 * MIB);
    pthread_t thread = begin(release);
    NEED(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)address));
    finish(thread);
    expect("mapped", 2 * MIB);
    NEED(cuMemUnmap(address, 2 * MIB));
    expect("retained", 2 * MIB);
    NEED(cuMemRelease(again));
}

/* Each thread has one of two names of mapped memory, which then gets one anew. */
static void release_both(void)
{
    CUmemGenericAllocationHandle again;
    map(2 * MIB);
    NEED(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)address));
    pthread_t thread = begin(release);
    NEED(cuMemRelease(again));
    finish(thread);
    NEED(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)address));
    for (CUdeviceptr nothing = 1; nothing <= LOOKUPS; nothing++) /* a name that is there twice ends none that passes it */
        if (cuMemFree_v2(nothing) != CUDA_ERROR_INVALID_VALUE)
            exit(3);
    NEED(cuMemUnmap(address, 2 * MIB));
    expect("named", 2 * MIB);
    NEED(cuMemRelease(again));
}

static void make_pool(CUmemAllocationType type, CUmemLocationType location)
{
    const CUmemPoolProps properties = {.allocType = type, .location = {.type = location}};
    NEED(cuMemPoolCreate(&pool, &properties));
}

/* Another thread synchronizes while a pool that has kept something goes. */
static void settle_while_destroying(void)
{
    cuuint64_t threshold = UINT64_MAX;
    make_pool(CU_MEM_ALLOCATION_TYPE_PINNED, CU_MEM_LOCATION_TYPE_DEVICE);
    NEED(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    NEED(cuMemAllocFromPoolAsync(&address, 30 * MIB, pool, NULL));
    NEED(cuMemFreeAsync(address, NULL));
    expect("what it keeps", 32 * MIB);
    pthread_t thread = begin(destroy);
    NEED(cuStreamSynchronize(NULL));
    finish(thread);
}

/* While one thread frees memory of a pool another one finds by the driver's figures that it is gone. */
static void settle_while_freeing(void)
{
    CUdeviceptr other;
    CUdeviceptr rest;
    cuuint64_t most = 0;
    make_pool(CU_MEM_ALLOCATION_TYPE_PINNED, CU_MEM_LOCATION_TYPE_DEVICE);
    NEED(cuMemAllocFromPoolAsync(&address, 30 * MIB, pool, NULL));
    NEED(cuMemAllocFromPoolAsync(&other, 62 * MIB, pool, NULL));
    expect("two allocations", 96 * MIB);
    pthread_t thread = begin(free_memory);
    NEED(cuStreamSynchronize(NULL));
    finish(thread);
    NEED(cuStreamSynchronize(NULL));
    expect("one allocation", 64 * MIB);
    size_t free = 0;
    size_t total = 0;
    NEED(cuMemGetInfo_v2(&free, &total));
    NEED(cuMemAlloc_v2(&rest, free));
    NEED(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &most));
    if (cuMemAllocFromPoolAsync(&address, 30 * MIB, pool, NULL) != CUDA_ERROR_OUT_OF_MEMORY)
        exit(2);
    NEED(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &most));
    if (most > 64 * MIB) {
        printf("the pool had %zu MiB for a moment, where it had room for 64\n", (size_t)most / MIB);
        exit(1);
    }
    NEED(cuMemFree_v2(rest));
    NEED(cuMemPoolDestroy(pool));
    expect("destroyed", 64 * MIB);
    NEED(cuMemFreeAsync(other, NULL));
}

/* A driver that loads code may wait for a kernel that waits for another GPU. */
static void load_on_two_gpus(void)
{
    CUcontext other;
    CUmodule there;
    CUfunction function;
    NEED(cuModuleLoadData(&module, image));
    pthread_t thread = begin(look_up);
    NEED(cuDevicePrimaryCtxRetain(&other, 1));
    NEED(cuCtxSetCurrent(other));
    NEED(cuModuleLoadData(&there, image));
    NEED(cuModuleGetFunction(&function, there, "kernel_0"));
    NEED(cuModuleUnload(there));
    NEED(cuDevicePrimaryCtxRelease_v2(1));
    finish(thread);
    NEED(cuCtxSetCurrent(context));
    NEED(cuModuleUnload(module));
}

static void use_pool(size_t bytes)
{
    CUdeviceptr memory;
    cuuint64_t held = 0;
    if (cuMemAllocFromPoolAsync(&memory, 2048 * MIB, pool, NULL) != CUDA_ERROR_OUT_OF_MEMORY)
        exit(3);
    NEED(cuMemAllocFromPoolAsync(&memory, bytes, pool, NULL));
    NEED(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &held));
    expect("the pool", held);
    NEED(cuMemFreeAsync(memory, NULL));
    NEED(cuStreamSynchronize(NULL));
    expect("what was freed", 0);
}

static void use_managed_pools(void)
{
    CUmemLocation nowhere = {.type = CU_MEM_LOCATION_TYPE_NONE};
    static const CUmemLocationType preferred[] = {CU_MEM_LOCATION_TYPE_NONE, CU_MEM_LOCATION_TYPE_HOST,
                                                  CU_MEM_LOCATION_TYPE_DEVICE};
    NEED(cuMemGetDefaultMemPool(&pool, &nowhere, CU_MEM_ALLOCATION_TYPE_MANAGED));
    use_pool(100 * MIB);
    for (int i = 0; i < 3; i++) {
        make_pool(CU_MEM_ALLOCATION_TYPE_MANAGED, preferred[i]);
        use_pool(100 * MIB);
        NEED(cuMemPoolDestroy(pool));
    }
}

static CUgreenCtx make_green(void)
{
    CUdevResource resource;
    CUdevResourceDesc description;
    CUcontext part;
    CUgreenCtx green;
    NEED(cuDeviceGetDevResource(0, &resource, CU_DEV_RESOURCE_TYPE_SM));
    NEED(cuDevResourceGenerateDesc(&description, &resource, 1));
    NEED(cuGreenCtxCreate(&green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    NEED(cuCtxFromGreenCtx(&part, green));
    NEED(cuCtxSetCurrent(part));
    return green;
}

static void expect_local_memory(void)
{
    CUfunction function;
    NEED(cuModuleLoadData(&module, image));
    NEED(cuModuleGetFunction(&function, module, "fake_local_4096"));
    NEED(cuModuleUnload(module));
}

/* Its context is a handle of its own; what is done in it is the primary one's. */
static void use_green_contexts(void)
{
    expect_local_memory();
    size_t local = charged() - at_first;
    CUgreenCtx green = make_green();
    NEED(cuMemAlloc_v2(&address, 100 * MIB));
    expect_local_memory();
    NEED(cuCtxSetCurrent(context));
    NEED(cuGreenCtxDestroy(green));
    expect("without the green context", 100 * MIB + local);
    NEED(cuDevicePrimaryCtxReset_v2(0));
}

/* The driver makes one level where none is asked for. */
static void use_mipmaps(void)
{
    const CUDA_ARRAY3D_DESCRIPTOR fits = {8192, 4096, 0, CU_AD_FORMAT_UNSIGNED_INT8, 4, 0};
    const CUDA_ARRAY3D_DESCRIPTOR larger = {32768, 16384, 0, CU_AD_FORMAT_UNSIGNED_INT8, 4, 0};
    CUmipmappedArray array;
    NEED(cuMipmappedArrayCreate(&array, &fits, 0));
    expect("no level", 128 * MIB);
    NEED(cuMipmappedArrayDestroy(array));
    NEED(cuMipmappedArrayCreate(&array, &fits, 1000));
    expect("all levels", 172 * MIB);
    NEED(cuMipmappedArrayDestroy(array));
    if (cuMipmappedArrayCreate(&array, &larger, 0) != CUDA_ERROR_OUT_OF_MEMORY)
        exit(3);
}

static void use_normalized_formats(void)
{
    static const struct {
        CUarray_format format;
        unsigned int channels;
        size_t bytes; /* of an element */
    } formats[] = {
        {CU_AD_FORMAT_UNORM_INT8X1, 1, 1},  {CU_AD_FORMAT_UNORM_INT8X2, 2, 2},  {CU_AD_FORMAT_UNORM_INT8X4, 4, 4},
        {CU_AD_FORMAT_UNORM_INT16X1, 1, 2}, {CU_AD_FORMAT_UNORM_INT16X2, 2, 4}, {CU_AD_FORMAT_UNORM_INT16X4, 4, 8},
        {CU_AD_FORMAT_SNORM_INT8X1, 1, 1},  {CU_AD_FORMAT_SNORM_INT8X2, 2, 2},  {CU_AD_FORMAT_SNORM_INT8X4, 4, 4},
        {CU_AD_FORMAT_SNORM_INT16X1, 1, 2}, {CU_AD_FORMAT_SNORM_INT16X2, 2, 4}, {CU_AD_FORMAT_SNORM_INT16X4, 4, 8},
        {CU_AD_FORMAT_UNORM_INT_101010_2, 4, 4},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const CUDA_ARRAY_DESCRIPTOR descriptor = {8192, 8192, formats[i].format, formats[i].channels};
        CUarray array;
        NEED(cuArrayCreate_v2(&array, &descriptor));
        expect("an array", 64 * MIB * formats[i].bytes);
        NEED(cuArrayDestroy(array));
    }
}

static CUresult instantiate_uploaded(size_t bytes)
{
    CUgraph nodes;
    CUgraphNode node;
    CUDA_MEM_ALLOC_NODE_PARAMS memory = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                       .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}},
                                         .bytesize = bytes};
    CUDA_GRAPH_INSTANTIATE_PARAMS upload = {.flags = CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD};
    NEED(cuGraphCreate(&nodes, 0));
    NEED(cuGraphAddMemAllocNode(&node, nodes, NULL, 0, &memory));
    NEED(cuGraphAddMemFreeNode(&node, nodes, &node, 1, memory.dptr));
    return cuGraphInstantiateWithParams(&graph, nodes, &upload);
}

static void upload_graphs(void)
{
    if (instantiate_uploaded(2048 * MIB) != CUDA_ERROR_OUT_OF_MEMORY)
        exit(3);
    expect("one that does not fit", 0);
    NEED(instantiate_uploaded(640 * MIB));
    expect("one that fits", 640 * MIB);
    NEED(cuGraphLaunch(graph, NULL));
    expect("as it runs", 640 * MIB);
    NEED(cuGraphExecDestroy(graph));
    NEED(cuDeviceGraphMemTrim(0));
}

/* A launch may wait until there is room for it, and that for another GPU. */
static void launch_on_two_gpus(void)
{
    CUcontext other;
    NEED(instantiate_uploaded(64 * MIB));
    pthread_t thread = begin(launch);
    NEED(cuDevicePrimaryCtxRetain(&other, 1));
    NEED(cuCtxSetCurrent(other));
    NEED(cuMemAllocAsync(&address, 30 * MIB, NULL));
    NEED(cuMemFreeAsync(address, NULL));
    NEED(cuStreamSynchronize(NULL));
    NEED(cuDevicePrimaryCtxRelease_v2(1));
    finish(thread);
    NEED(cuCtxSetCurrent(context));
    NEED(cuGraphExecDestroy(graph));
    NEED(cuDeviceGraphMemTrim(0));
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"retain", retain_while_releasing},
    {"release", release_both},
    {"settle", settle_while_freeing}, {"destroy", settle_while_destroying},
    {"gpus", load_on_two_gpus},
    {"green", use_green_contexts},
    {"managed", use_managed_pools},
    {"mipmaps", use_mipmaps},
    {"formats", use_normalized_formats},
    {"uploads", upload_graphs},
    {"launches", launch_on_two_gpus},
};

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    alarm(PATIENCE_SECONDS);
    NEED(cuInit(0));
    NEED(cuDevicePrimaryCtxRetain(&context, 0));
    NEED(cuCtxSetCurrent(context));
    at_first = charged();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(what, cases[i].name) == 0) {
            cases[i].run();
            expect("the end", 0);
            return 0;
        }
    return 2;
}
