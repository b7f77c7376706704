/* The whole library in one program under the thread sanitizer: many threads
 * allocate, map, look, launch and free at once, over the stub driver; with an
 * argument over one that has contexts, code and graphs too: "all" of these at
 * once, the "primary" context, made and ended by whoever comes, or "code", loaded
 * by one while another frees. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/generated/hooks.h"
#include "check.h"

#define MIB ((size_t)1 << 20)
#define THREADS 4
#define ROUNDS 300
#define LAUNCHES 20
#define PRIMARY_ROUNDS 2000
#define CONTEXT_BYTES (64 * MIB) /* by the driver's profile */
#define MODULE_BYTES (4 * MIB)

static _Atomic int troubles;

static void expect_at(bool condition, int line)
{
    if (!condition) {
        fprintf(stderr, "line %d\n", line);
        atomic_fetch_add(&troubles, 1);
    }
}
#define expect(...) expect_at(__VA_ARGS__, __LINE__)

static void use_memory(size_t size)
{
    CUdeviceptr address;
    CUresult result = cuMemAlloc_v2(&address, size);
    expect(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
    if (result == CUDA_SUCCESS)
        expect(cuMemFree_v2(address) == CUDA_SUCCESS);
}

static void use_mapping(size_t size, CUdeviceptr address)
{
    CUmemAllocationProp prop = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemGenericAllocationHandle handle;
    if (cuMemCreate(&handle, size, &prop, 0) != CUDA_SUCCESS)
        return;
    expect(cuMemMap(address, size, 0, handle, 0) == CUDA_SUCCESS);
    expect(cuMemRelease(handle) == CUDA_SUCCESS);
    expect(cuMemUnmap(address, size) == CUDA_SUCCESS);
}

static void use_pool(size_t size)
{
    CUdeviceptr address;
    CUresult result = cuMemAllocAsync(&address, size, NULL);
    expect(result == CUDA_SUCCESS || result == CUDA_ERROR_OUT_OF_MEMORY);
    if (result == CUDA_SUCCESS)
        expect(cuMemFreeAsync(address, NULL) == CUDA_SUCCESS);
    expect(cuStreamSynchronize(NULL) == CUDA_SUCCESS);
}

static void launch(size_t number, int round)
{
    static const char functions[THREADS];
    CUgraph graph;
    CUcontext context;
    for (unsigned int i = 1; i <= LAUNCHES; i++)
        expect(cuLaunchKernel((CUfunction)&functions[i % THREADS], i % 3 + 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL) ==
               CUDA_SUCCESS);
    expect(cuLaunchKernel(NULL, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL) == 1);
    if (number != 1 || round % 10 != 0)
        return;
    expect(cuStreamBeginCapture_v2(NULL, 0) == CUDA_SUCCESS);
    expect(cuStreamEndCapture(NULL, &graph) == CUDA_SUCCESS);
    expect(((ci_pfn_cuCtxGetCurrent)dlsym(RTLD_DEFAULT, "cuCtxGetCurrent"))(&context) == CUDA_SUCCESS);
    expect(cuCtxSetCurrent(context) == CUDA_SUCCESS);
}

#define LOOKED_UP(name, ...) ((CUresult(*)(__VA_ARGS__))dlsym(RTLD_DEFAULT, #name))

static const unsigned char code[64] = "\x7f" "ELF";

static void use_context(size_t size)
{
    CUcontext context;
    CUdeviceptr address;
    if (cuCtxCreate_v2(&context, 0, 0) != CUDA_SUCCESS)
        return;
    cuMemAlloc_v2(&address, size);
    cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, (size_t)16 << 20);
    expect(cuCtxDestroy_v2(context) == CUDA_SUCCESS);
}

static void use_code(void)
{
    CUmodule module;
    CUlibrary library;
    CUfunction function;
    CUkernel kernel;
    if (cuModuleLoadData(&module, code) == CUDA_SUCCESS) {
        expect(cuModuleGetFunction(&function, module, "fake_local_2048") == CUDA_SUCCESS);
        expect(cuModuleUnload(module) == CUDA_SUCCESS);
    }
    if (cuLibraryLoadData(&library, code, NULL, NULL, 0, NULL, NULL, 0) == CUDA_SUCCESS) {
        expect(cuLibraryGetKernel(&kernel, library, "kernel") == CUDA_SUCCESS);
        expect(cuLibraryUnload(library) == CUDA_SUCCESS);
    }
}

static void use_graph(size_t size)
{
    struct ci_memory_node memory = {.pool = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}}, .bytes = size};
    CUgraph graph;
    CUgraphNode node;
    CUgraphExec executable;
    expect(LOOKED_UP(cuGraphCreate, CUgraph *, unsigned int)(&graph, 0) == CUDA_SUCCESS);
    expect(LOOKED_UP(cuGraphAddMemAllocNode, CUgraphNode *, CUgraph, const CUgraphNode *, size_t, void *)(
               &node, graph, NULL, 0, &memory) == CUDA_SUCCESS);
    expect(LOOKED_UP(cuGraphAddMemFreeNode, CUgraphNode *, CUgraph, const CUgraphNode *, size_t, CUdeviceptr)(
               &node, graph, &node, 1, memory.address) == CUDA_SUCCESS);
    expect(cuGraphInstantiateWithFlags(&executable, graph, 0) == CUDA_SUCCESS);
    cuGraphLaunch(executable, NULL);
    expect(cuGraphExecDestroy(executable) == CUDA_SUCCESS);
    expect(cuDeviceGraphMemTrim(0) == CUDA_SUCCESS);
}

static void make_current(void)
{
    CUcontext context;
    expect(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
    expect(LOOKED_UP(cuCtxSetCurrent, CUcontext)(context) == CUDA_SUCCESS);
}

static void *work_on_all(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument + 1;
    make_current();
    for (int i = 0; i < ROUNDS / 3; i++) {
        use_memory(number * 150 * MIB);
        use_context(number * MIB);
        use_code();
        use_graph(number * 8 * MIB);
        use_pool(number * MIB);
    }
    return NULL;
}

/* While a thread holds the context it is charged, and what is in it. */
static void *work_on_primary(void *argument)
{
    size_t own = ((size_t)(uintptr_t)argument + 1) * MIB;
    CUcontext context;
    CUdeviceptr address;
    for (int i = 0; i < PRIMARY_ROUNDS; i++) {
        size_t free = 0;
        size_t total = 0;
        expect(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
        expect(LOOKED_UP(cuCtxSetCurrent, CUcontext)(context) == CUDA_SUCCESS);
        expect(cuMemAlloc_v2(&address, own) == CUDA_SUCCESS);
        expect(cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS && total - free >= CONTEXT_BYTES + own);
        expect(cuMemFree_v2(address) == CUDA_SUCCESS && cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
    }
    return NULL;
}

static void meet(int flags)
{
    close(open(getenv("FAKE_GPU_HOLD"), flags));
}

static pthread_barrier_t begun;

/* The first thread loads code; when the driver has taken what it needs, another one frees. */
static void *work_on_code(void *argument)
{
    CUmodule module;
    CUdeviceptr address;
    make_current(); /* which waits for a load that is under way */
    pthread_barrier_wait(&begun);
    if (argument == NULL)
        expect(cuModuleLoadData(&module, code) == CUDA_SUCCESS && cuModuleLoadData(&module, code) == CUDA_SUCCESS);
    if ((uintptr_t)argument != 1)
        return NULL;
    expect(cuMemAlloc_v2(&address, 100 * MIB) == CUDA_SUCCESS);
    meet(O_RDONLY);
    meet(O_WRONLY);
    meet(O_RDONLY);
    expect(cuMemFree_v2(address) == CUDA_SUCCESS);
    meet(O_WRONLY);
    return NULL;
}

static void *work(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument + 1;
    for (int i = 0; i < ROUNDS; i++) {
        size_t free = 0;
        size_t total = 0;
        use_memory(number * 150 * MIB);
        use_mapping(number * 100 * MIB, number << 40);
        use_pool(number * MIB);
        launch(number, i);
        expect(cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS && free <= total && total == 1000 * MIB);
    }
    return NULL;
}

static void run(void *(*each)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, each, (void *)i) != 0)
            abort();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(troubles == 0);
}

static size_t used(void)
{
    size_t free = 0;
    size_t total = 0;
    CHECK(cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS);
    return total - free;
}

int main(int argc, char **argv)
{
    CUmemoryPool pool;
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == NULL)
        return 1;
    if (argc > 1)
        CHECK(cuInit(0) == CUDA_SUCCESS);
    if (argc > 1 && strcmp(argv[1], "primary") == 0) {
        run(work_on_primary);
        make_current();
        CHECK(used() == CONTEXT_BYTES);
    } else if (argc > 1 && strcmp(argv[1], "code") == 0) {
        if (pthread_barrier_init(&begun, NULL, THREADS) != 0)
            abort();
        run(work_on_code);
        make_current();
        CHECK(used() == CONTEXT_BYTES + 2 * MODULE_BYTES);
    } else if (argc > 1) {
        run(work_on_all);
    } else {
        run(work);
        CHECK(LOOKED_UP(cuDeviceGetMemPool, CUmemoryPool *, CUdevice)(&pool, 0) == CUDA_SUCCESS);
        CHECK(cuMemPoolTrimTo(pool, 0) == CUDA_SUCCESS);
        CHECK(used() == 0);
    }
    return failures != 0;
}
