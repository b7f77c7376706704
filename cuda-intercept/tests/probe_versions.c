/* Every version and kind of stream of the calls that take memory, by names as
 * programs look them up: what is charged for each, that it comes back, and that
 * what does not fit is refused; and that imports, which are their owners', take
 * nothing however large they are. Needs the fake driver with the model's profile, a
 * share of 1024 MiB, and the path of any file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "../src/generated/hooks.h"
#include "check.h"

#define MIB ((size_t)1 << 20)
#define LIMIT (1024 * MIB)
#define BYTES (4 * MIB)
#define LEAST 512
#define ROW 1024
#define FORMAT_FLOAT 0x20
#define CONTEXT (64 * MIB)
#define GREEN (8 * MIB)
#define MODULE (4 * MIB)
#define CHUNK (32 * MIB)
#define DATA (24 * MIB)
#define FUNCTION (2 * MIB + DATA) /* it brings the data along */

#define CALL(name) ((ci_pfn_##name)dlsym(driver, #name))
#define OTHER(name, ...) ((CUresult(*)(__VA_ARGS__))dlsym(driver, #name))
#define HERE(type) ((type *)&made)
#define AFTER(first, second) ((first) == CUDA_SUCCESS ? (second) : 1)

static void *driver;
static const char *path;
static const char image[64] = "\x7f" "ELF";
static const char text[] = ".version 6.3\n.target sm_50\n.address_size 64\n"
                           ".visible .global .align 16 .b8 data_0[25165824];\n.visible .entry kernel_0()\n{\n    ret;\n}\n";
static uintptr_t made; /* the last object: an address or a handle */
static uintptr_t part; /* of it */
static size_t size;
static CUmemoryPool pool;
static CUcontext primary;

static const CUmemAllocationProp on_device = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
static const struct {
    CUmemAllocationProp first;
    char rest[96];
} pool_on_device = {.first = {.type = 1, .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}}};
static const CUDA_ARRAY_DESCRIPTOR flat = {ROW, BYTES / ROW / 4, FORMAT_FLOAT, 1};
static const CUDA_ARRAY3D_DESCRIPTOR deep = {ROW, BYTES / ROW / 4, 0, FORMAT_FLOAT, 1, 0};

static CUresult make_green(void)
{
    char resource[512];
    CUdevResourceDesc description;
    OTHER(cuDeviceGetDevResource, CUdevice, void *, int)(0, resource, 1);
    OTHER(cuDevResourceGenerateDesc, CUdevResourceDesc *, void *, unsigned int)(&description, resource, 1);
    return CALL(cuGreenCtxCreate)(HERE(CUgreenCtx), description, 0, 1);
}

static CUgraph make_graph(void)
{
    CUgraph graph;
    CUgraphNode node;
    struct ci_memory_node memory = {.pool = on_device, .bytes = CHUNK};
    OTHER(cuGraphCreate, CUgraph *, unsigned int)(&graph, 0);
    OTHER(cuGraphAddMemAllocNode, CUgraphNode *, CUgraph, void *, size_t, void *)(&node, graph, NULL, 0, &memory);
    OTHER(cuGraphAddMemFreeNode, CUgraphNode *, CUgraph, void *, size_t, CUdeviceptr)
    (&node, graph, &node, 1, memory.address);
    return graph;
}

static CUkernel kernel_of(uintptr_t library)
{
    CUkernel kernel = NULL;
    CALL(cuLibraryEnumerateKernels)(&kernel, 1, (CUlibrary)library);
    return kernel;
}

static CUfunction function_of(uintptr_t module)
{
    CUfunction function = NULL;
    CALL(cuModuleEnumerateFunctions)(&function, 1, (CUmodule)module);
    return function;
}

static CUresult end_graph(void)
{
    return AFTER(CALL(cuGraphExecDestroy)((CUgraphExec)made), CALL(cuDeviceGraphMemTrim)(0));
}

/* `is_part`: charged with what it is a part of, whether it fits or not. */
struct way {
    const char *name;
    CUresult (*begin)(void);
    CUresult (*take)(void);
    CUresult (*give)(void);
    size_t bytes;
    bool is_part;
};

#define DO(name, call) \
    static CUresult name(void) \
    { \
        return call; \
    }

DO(nothing, CUDA_SUCCESS)
DO(context, CALL(cuCtxCreate)(HERE(CUcontext), 0, 0))
DO(context_2, CALL(cuCtxCreate_v2)(HERE(CUcontext), 0, 0))
DO(context_3, CALL(cuCtxCreate_v3)(HERE(CUcontext), NULL, 0, 0, 0))
DO(context_4, CALL(cuCtxCreate_v4)(HERE(CUcontext), NULL, 0, 0))
DO(end_context, CALL(cuCtxDestroy)((CUcontext)made))
DO(end_context_2, CALL(cuCtxDestroy_v2)((CUcontext)made))
DO(detach_context, CALL(cuCtxDetach)((CUcontext)made))
DO(end_green, CALL(cuGreenCtxDestroy)((CUgreenCtx)made))
DO(plain, CALL(cuMemAlloc_v2)(HERE(CUdeviceptr), BYTES))
DO(managed, CALL(cuMemAllocManaged)(HERE(CUdeviceptr), BYTES, 1))
DO(pitched, CALL(cuMemAllocPitch_v2)(HERE(CUdeviceptr), &size, ROW, BYTES / ROW, 4))
DO(end_plain, CALL(cuMemFree_v2)(made))
DO(stream, CALL(cuMemAllocAsync)(HERE(CUdeviceptr), BYTES, NULL))
DO(stream_ptsz, CALL(cuMemAllocAsync_ptsz)(HERE(CUdeviceptr), BYTES, NULL))
DO(pooled, CALL(cuMemAllocFromPoolAsync)(HERE(CUdeviceptr), BYTES, pool, NULL))
DO(pooled_ptsz, CALL(cuMemAllocFromPoolAsync_ptsz)(HERE(CUdeviceptr), BYTES, pool, NULL))
DO(end_stream, AFTER(CALL(cuMemFreeAsync)(made, NULL), CALL(cuStreamSynchronize)(NULL)))
DO(end_stream_ptsz, AFTER(CALL(cuMemFreeAsync_ptsz)(made, NULL), CALL(cuStreamSynchronize_ptsz)(NULL)))
DO(end_by_context, AFTER(CALL(cuMemFreeAsync)(made, NULL), CALL(cuCtxSynchronize)()))
DO(end_by_context_2, AFTER(CALL(cuMemFreeAsync)(made, NULL), CALL(cuCtxSynchronize_v2)(primary)))
DO(handle, CALL(cuMemCreate)(HERE(CUmemGenericAllocationHandle), BYTES, &on_device, 0))
DO(end_handle, CALL(cuMemRelease)(made))
DO(array, CALL(cuArrayCreate_v2)(HERE(CUarray), &flat))
DO(array_3d, CALL(cuArray3DCreate_v2)(HERE(CUarray), &deep))
DO(end_array, CALL(cuArrayDestroy)((CUarray)made))
DO(mipmap, CALL(cuMipmappedArrayCreate)(HERE(CUmipmappedArray), &deep, 1))
DO(end_mipmap, CALL(cuMipmappedArrayDestroy)((CUmipmappedArray)made))
DO(module_of_file, CALL(cuModuleLoad)(HERE(CUmodule), path))
DO(module, CALL(cuModuleLoadData)(HERE(CUmodule), image))
DO(module_ex, CALL(cuModuleLoadDataEx)(HERE(CUmodule), image, 0, NULL, NULL))
DO(module_fat, CALL(cuModuleLoadFatBinary)(HERE(CUmodule), image))
DO(module_of_text, CALL(cuModuleLoadData)(HERE(CUmodule), text))
DO(end_module, CALL(cuModuleUnload)((CUmodule)made))
DO(library, CALL(cuLibraryLoadData)(HERE(CUlibrary), image, NULL, NULL, 0, NULL, NULL, 0))
DO(library_of_file, CALL(cuLibraryLoadFromFile)(HERE(CUlibrary), path, NULL, NULL, 0, NULL, NULL, 0))
DO(library_of_text, CALL(cuLibraryLoadData)(HERE(CUlibrary), text, NULL, NULL, 0, NULL, NULL, 0))
DO(end_library, CALL(cuLibraryUnload)((CUlibrary)made))
DO(graph, CALL(cuGraphInstantiate)(HERE(CUgraphExec), make_graph(), NULL, NULL, 0))
DO(graph_2, CALL(cuGraphInstantiate_v2)(HERE(CUgraphExec), make_graph(), NULL, NULL, 0))
DO(graph_flags, CALL(cuGraphInstantiateWithFlags)(HERE(CUgraphExec), make_graph(), 0))

static CUDA_GRAPH_INSTANTIATE_PARAMS as_usual;

DO(graph_params, CALL(cuGraphInstantiateWithParams)(HERE(CUgraphExec), make_graph(), &as_usual))
DO(graph_params_ptsz, CALL(cuGraphInstantiateWithParams_ptsz)(HERE(CUgraphExec), make_graph(), &as_usual))
DO(launch, CALL(cuGraphLaunch)((CUgraphExec)made, NULL))
DO(launch_ptsz, CALL(cuGraphLaunch_ptsz)((CUgraphExec)made, NULL))
DO(upload, CALL(cuGraphUpload)((CUgraphExec)made, NULL))
DO(upload_ptsz, CALL(cuGraphUpload_ptsz)((CUgraphExec)made, NULL))
DO(get_function, CALL(cuModuleGetFunction)((CUfunction *)&part, (CUmodule)made, "kernel_0"))
DO(get_kernel, CALL(cuLibraryGetKernel)((CUkernel *)&part, (CUlibrary)made, "kernel_0"))
DO(get_kernel_function, CALL(cuKernelGetFunction)((CUfunction *)&part, kernel_of(made)))
DO(load_function, CALL(cuFuncLoad)(function_of(made)))
DO(get_global, CALL(cuModuleGetGlobal_v2)((CUdeviceptr *)&part, NULL, (CUmodule)made, "data_0"))
DO(get_global_1, CALL(cuModuleGetGlobal)((CUdeviceptr_v1 *)&part, NULL, (CUmodule)made, "data_0"))
DO(get_texture, CALL(cuModuleGetTexRef)((CUtexref *)&part, (CUmodule)made, "data_0"))
DO(get_surface, CALL(cuModuleGetSurfRef)((CUsurfref *)&part, (CUmodule)made, "data_0"))
DO(get_library_global, CALL(cuLibraryGetGlobal)((CUdeviceptr *)&part, NULL, (CUlibrary)made, "data_0"))
DO(get_library_managed, CALL(cuLibraryGetManaged)((CUdeviceptr *)&part, NULL, (CUlibrary)made, "data_0"))
DO(get_unified, CALL(cuLibraryGetUnifiedFunction)((void **)&part, (CUlibrary)made, "data_0"))

static const struct way ways[] = {
    {"cuCtxCreate, cuCtxDestroy", nothing, context, end_context, CONTEXT, false},
    {"cuCtxCreate_v2, cuCtxDestroy_v2", nothing, context_2, end_context_2, CONTEXT, false},
    {"cuCtxCreate_v3, cuCtxDetach", nothing, context_3, detach_context, CONTEXT, false},
    {"cuCtxCreate_v4", nothing, context_4, end_context_2, CONTEXT, false},
    {"cuGreenCtxCreate", nothing, make_green, end_green, GREEN, false},
    {"cuMemAlloc_v2", nothing, plain, end_plain, BYTES, false},
    {"cuMemAllocManaged", nothing, managed, end_plain, BYTES, false},
    {"cuMemAllocPitch_v2", nothing, pitched, end_plain, BYTES, false},
    {"cuMemAllocAsync", nothing, stream, end_stream, CHUNK, false},
    {"cuMemAllocAsync_ptsz", nothing, stream_ptsz, end_stream_ptsz, CHUNK, false},
    {"cuMemAllocFromPoolAsync, cuCtxSynchronize", nothing, pooled, end_by_context, CHUNK, false},
    {"cuMemAllocFromPoolAsync_ptsz", nothing, pooled_ptsz, end_stream, CHUNK, false},
    {"cuCtxSynchronize_v2", nothing, pooled, end_by_context_2, CHUNK, false},
    {"cuMemCreate", nothing, handle, end_handle, BYTES, false},
    {"cuArrayCreate_v2", nothing, array, end_array, BYTES, false},
    {"cuArray3DCreate_v2", nothing, array_3d, end_array, BYTES, false},
    {"cuMipmappedArrayCreate", nothing, mipmap, end_mipmap, BYTES, false},
    {"cuModuleLoad", nothing, module_of_file, end_module, MODULE, false},
    {"cuModuleLoadData", nothing, module, end_module, MODULE, false},
    {"cuModuleLoadDataEx", nothing, module_ex, end_module, MODULE, false},
    {"cuModuleLoadFatBinary", nothing, module_fat, end_module, MODULE, false},
    {"cuLibraryLoadData", nothing, library, end_library, MODULE, false},
    {"cuLibraryLoadFromFile", nothing, library_of_file, end_library, MODULE, false},
    {"cuGraphInstantiate, cuGraphLaunch", graph, launch, end_graph, CHUNK, false},
    {"cuGraphInstantiate_v2, cuGraphLaunch_ptsz", graph_2, launch_ptsz, end_graph, CHUNK, false},
    {"cuGraphInstantiateWithFlags, cuGraphUpload", graph_flags, upload, end_graph, CHUNK, false},
    {"cuGraphInstantiateWithParams, cuGraphUpload_ptsz", graph_params, upload_ptsz, end_graph, CHUNK, false},
    {"cuGraphInstantiateWithParams_ptsz", graph_params_ptsz, launch, end_graph, CHUNK, false},
    {"cuModuleGetFunction", module_of_text, get_function, end_module, FUNCTION, true},
    {"cuFuncLoad", module_of_text, load_function, end_module, FUNCTION, true},
    {"cuLibraryGetKernel", library_of_text, get_kernel, end_library, FUNCTION, true},
    {"cuKernelGetFunction", library_of_text, get_kernel_function, end_library, FUNCTION, true},
    {"cuModuleGetGlobal_v2", module_of_text, get_global, end_module, DATA, true},
    {"cuModuleGetGlobal", module_of_text, get_global_1, end_module, DATA, true},
    {"cuModuleGetTexRef", module_of_text, get_texture, end_module, DATA, true},
    {"cuModuleGetSurfRef", module_of_text, get_surface, end_module, DATA, true},
    {"cuLibraryGetGlobal", library_of_text, get_library_global, end_library, DATA, true},
    {"cuLibraryGetManaged", library_of_text, get_library_managed, end_library, DATA, true},
    {"cuLibraryGetUnifiedFunction", library_of_text, get_unified, end_library, DATA, true},
};

static size_t used(void)
{
    size_t free = 0;
    size_t total = 0;
    CALL(cuMemGetInfo_v2)(&free, &total);
    return total - free;
}

static void expect(const struct way *way, const char *what, bool good)
{
    if (good)
        return;
    printf("%s: %s\n", way->name, what);
    failures++;
}

static void try_with_room(const struct way *way)
{
    size_t before = used();
    expect(way, "its subject is there", way->begin() == CUDA_SUCCESS);
    size_t with = used();
    expect(way, "it fits", way->take() == CUDA_SUCCESS);
    expect(way, "all of it is charged", used() == with + way->bytes);
    expect(way, "it can be undone", way->give() == CUDA_SUCCESS);
    expect(way, "nothing of it stays charged", used() == before);
}

static void try_without_room(const struct way *way)
{
    CUdeviceptr filler;
    size_t before = used();
    expect(way, "its subject is there again", way->begin() == CUDA_SUCCESS);
    size_t with = used();
    uintptr_t subject = made;
    CALL(cuMemAlloc_v2)(&filler, LIMIT - with - LEAST);
    CUresult result = way->take();
    expect(way, "it is refused, or above the limit",
           way->is_part ? result == CUDA_SUCCESS && used() == LIMIT
                        : result == CUDA_ERROR_OUT_OF_MEMORY && used() == LIMIT - LEAST);
    CALL(cuMemFree_v2)(filler);
    expect(way, "only what is above the limit stays charged", used() == with + (way->is_part ? way->bytes : 0));
    made = subject;
    expect(way, "its subject goes", way->begin == nothing || way->give() == CUDA_SUCCESS);
    expect(way, "nothing stays charged in the end", used() == before);
}

/* As an application of a graphics library maps its memory. */
static void map_external_memory(void)
{
    struct {
        int type;
        void *handle[2];
        unsigned long long bytes;
        unsigned int rest[17];
    } from = {.type = 1, .bytes = 2 * LIMIT};
    struct {
        unsigned long long offset, bytes;
        unsigned int rest[17];
    } buffer = {.bytes = 2 * LIMIT};
    void *memory = NULL;
    CUdeviceptr address = 0;
    size_t before = used();
    CHECK(OTHER(cuImportExternalMemory, void **, void *)(&memory, &from) == CUDA_SUCCESS);
    CHECK(OTHER(cuExternalMemoryGetMappedBuffer, CUdeviceptr *, void *, void *)(&address, memory, &buffer) ==
          CUDA_SUCCESS);
    CHECK(used() == before);
    CHECK(CALL(cuMemFree_v2)(address) == CUDA_SUCCESS && CALL(cuMemFree_v2)(address) != CUDA_SUCCESS);
    CHECK(OTHER(cuDestroyExternalMemory, void *)(memory) == CUDA_SUCCESS);
    CHECK(used() == before);
}

/* The driver lets nobody allocate from the second one: it is the first one's. */
static void import_pool(void)
{
    char pointer[64];
    int file = -1;
    CUdeviceptr own = 0, address = 0;
    CUmemoryPool imported = NULL;
    CHECK(CALL(cuMemAllocFromPoolAsync)(&own, BYTES, pool, NULL) == CUDA_SUCCESS);
    size_t before = used();
    CHECK(OTHER(cuMemPoolExportToShareableHandle, void *, CUmemoryPool, int, unsigned long long)(&file, pool, 1, 0) ==
          CUDA_SUCCESS);
    CHECK(CALL(cuMemPoolImportFromShareableHandle)(&imported, (void *)(intptr_t)file, 1, 0) == CUDA_SUCCESS);
    CHECK(OTHER(cuMemPoolExportPointer, void *, CUdeviceptr)(pointer, own) == CUDA_SUCCESS);
    CHECK(OTHER(cuMemPoolImportPointer, CUdeviceptr *, CUmemoryPool, void *)(&address, imported, pointer) ==
          CUDA_SUCCESS);
    CALL(cuMemPoolTrimTo)(imported, 0);
    CHECK(used() == before);
    CHECK(CALL(cuMemFreeAsync)(address, NULL) == CUDA_SUCCESS && CALL(cuMemPoolDestroy)(imported) == CUDA_SUCCESS);
    CHECK(used() == before);
    CHECK(CALL(cuMemFreeAsync)(own, NULL) == CUDA_SUCCESS && CALL(cuStreamSynchronize)(NULL) == CUDA_SUCCESS);
    CHECK(used() == before - CHUNK);
}

int main(int count, char **arguments)
{
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    path = count > 1 ? arguments[1] : "";
    if (driver == NULL || CALL(cuInit)(0) != CUDA_SUCCESS ||
        CALL(cuDevicePrimaryCtxRetain)(&primary, 0) != CUDA_SUCCESS || CALL(cuCtxSetCurrent)(primary) != CUDA_SUCCESS ||
        CALL(cuMemPoolCreate)(&pool, &pool_on_device.first) != CUDA_SUCCESS)
        return 1;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        try_with_room(&ways[i]), try_without_room(&ways[i]);
    map_external_memory();
    import_pool();
    return failures != 0;
}
