/* Does one driver call per line of its input, as a model tells it to, and answers
 * with the driver's code. Objects are named by kind and number. An argument is a
 * file of code, for drivers that look into it. */
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OBJECTS 64

static CUdeviceptr memories[OBJECTS], mapped[OBJECTS], streams[OBJECTS];
static size_t mapped_bytes[OBJECTS];
static CUmemoryPool pools[OBJECTS];
static CUmemGenericAllocationHandle handles[OBJECTS];
static CUarray arrays[OBJECTS];
static CUmipmappedArray mipmaps[OBJECTS];
static CUmodule modules[OBJECTS];
static CUlibrary libraries[OBJECTS];
static CUcontext primary, contexts[OBJECTS];
static CUgreenCtx greens[OBJECTS];
static CUgraphExec graphs[OBJECTS];
static CUfunction functions[OBJECTS];
static CUarrayMapInfo tiles[OBJECTS];

#define CODE_BYTES 65536
static char code[CODE_BYTES] = "\x7f" "ELF"; /* an image that does not say how large it is */

#define ARRAY_BYTES (1ULL << 30) /* of one array of a module's global data */
#define LINE_BYTES 256
static char offered[2 * sizeof(CUipcMemHandle) + 2] = " ";

static const CUmemAllocationProp on_device = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
static const CUmemPoolProps pool_on_device = {
    .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

typedef unsigned long long number;

/* Whether an object is there to be undone: a failed call leaves its place empty. */
static bool is_there(char what, number slot)
{
    switch (what) {
    case 'f': return memories[slot] != 0;
    case 'r': return handles[slot] != 0;
    case 'B': return arrays[slot] != NULL;
    case 'u': return modules[slot] != NULL;
    case 'X': return contexts[slot] != NULL;
    default: return true;
    }
}

/* For scripts that do not look at the answers. */
static void forget(char what, number slot)
{
    switch (what) {
    case 'f': memories[slot] = 0; break;
    case 'r': handles[slot] = 0; break;
    case 'B': arrays[slot] = NULL; break;
    case 'u': modules[slot] = NULL; break;
    case 'X': contexts[slot] = NULL; break;
    default: break;
    }
}

static CUresult allocate_in(CUcontext context, CUdeviceptr *memory, size_t bytes)
{
    CUresult result = cuCtxPushCurrent_v2(context);
    if (result == CUDA_SUCCESS)
        result = cuMemAlloc_v2(memory, bytes);
    cuCtxPopCurrent_v2(&context);
    return result;
}

static CUresult make_pool(CUmemoryPool *pool, cuuint64_t threshold)
{
    CUresult result = cuMemPoolCreate(pool, &pool_on_device);
    if (result == CUDA_SUCCESS)
        result = cuMemPoolSetAttribute(*pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
    return result;
}

/* The most that the pool ever held of the device, in MiB. */
static CUresult most_held(CUmemoryPool pool)
{
    cuuint64_t bytes = 0;
    CUresult result = cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &bytes);
    return result == CUDA_SUCCESS ? (CUresult)(bytes >> 20) : result;
}

static CUresult map(number slot, CUmemGenericAllocationHandle handle, size_t bytes)
{
    CUresult result = cuMemAddressReserve(&mapped[slot], bytes, 0, 0, 0);
    mapped_bytes[slot] = bytes;
    return result == CUDA_SUCCESS ? cuMemMap(mapped[slot], bytes, 0, handle, 0) : result;
}

static CUresult make_array(CUarray *array, number width, number height)
{
    CUDA_ARRAY_DESCRIPTOR descriptor = {width, height, CU_AD_FORMAT_FLOAT, 1};
    return cuArrayCreate_v2(array, &descriptor);
}

static CUresult make_mipmap(CUmipmappedArray *array, number width, number height)
{
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {width, height, 0, CU_AD_FORMAT_UNSIGNED_INT8, 4, 0};
    return cuMipmappedArrayCreate(array, &descriptor, 4);
}

static CUresult make_sparse(CUarray *array)
{
    CUDA_ARRAY3D_DESCRIPTOR descriptor = {4096, 4096, 0, CU_AD_FORMAT_UNSIGNED_INT8, 4, CUDA_ARRAY3D_SPARSE};
    return cuArray3DCreate_v2(array, &descriptor);
}

/* Each tile lies beside the one before. */
static CUresult map_tile(number slot, CUarray array, CUmemGenericAllocationHandle handle)
{
    tiles[slot] = (CUarrayMapInfo){
        .resourceType = CU_RESOURCE_TYPE_ARRAY,
        .resource.array = array,
        .subresourceType = CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL,
        .subresource.sparseLevel = {.offsetX = (unsigned)slot, .extentWidth = 1, .extentHeight = 1, .extentDepth = 1},
        .memOperationType = CU_MEM_OPERATION_TYPE_MAP,
        .memHandle.memHandle = handle,
        .deviceBitMask = 1};
    return cuMemMapArrayAsync(&tiles[slot], 1, NULL);
}

static CUresult unmap_tile(number slot)
{
    tiles[slot].memOperationType = CU_MEM_OPERATION_TYPE_UNMAP;
    tiles[slot].memHandle.memHandle = 0;
    return cuMemMapArrayAsync(&tiles[slot], 1, NULL);
}

static CUresult attach(CUcontext context)
{
    CUcontext attached;
    CUresult result = cuCtxPushCurrent_v2(context);
    if (result == CUDA_SUCCESS)
        result = cuCtxAttach(&attached, 0);
    cuCtxPopCurrent_v2(&context);
    return result;
}

static CUresult make_context(CUcontext *context, CUdevice device)
{
    CUresult result = cuCtxCreate_v2(context, 0, device);
    return result == CUDA_SUCCESS ? cuCtxPopCurrent_v2(&(CUcontext){0}) : result;
}

static CUresult make_green(CUgreenCtx *green)
{
    CUdevResource resource;
    CUdevResourceDesc description;
    cuDeviceGetDevResource(0, &resource, CU_DEV_RESOURCE_TYPE_SM);
    cuDevResourceGenerateDesc(&description, &resource, 1);
    return cuGreenCtxCreate(green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM);
}

static CUresult make_graph(CUgraphExec *executable, size_t bytes)
{
    CUgraph graph;
    CUgraphNode node;
    CUDA_MEM_ALLOC_NODE_PARAMS memory = {.poolProps = pool_on_device, .bytesize = bytes};
    cuGraphCreate(&graph, 0);
    cuGraphAddMemAllocNode(&node, graph, NULL, 0, &memory);
    cuGraphAddMemFreeNode(&node, graph, &node, 1, memory.dptr);
    return cuGraphInstantiateWithFlags(executable, graph, 0);
}

static CUresult import_handle(CUmemGenericAllocationHandle handle)
{
    int file = -1;
    CUmemGenericAllocationHandle imported;
    CUresult result = cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    if (result == CUDA_SUCCESS)
        result = cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)file,
                                                CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    close(file);
    return result == CUDA_SUCCESS ? cuMemRelease(imported) : result;
}

static CUresult import_memory(CUdeviceptr memory)
{
    CUipcMemHandle handle;
    CUdeviceptr opened;
    CUresult result = cuIpcGetMemHandle(&handle, memory);
    if (result == CUDA_SUCCESS)
        result = cuIpcOpenMemHandle_v2(&opened, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    return result == CUDA_SUCCESS ? cuIpcCloseMemHandle(opened) : result;
}

/* Code whose global data is so large, in NVIDIA's intermediate language. */
static const char *code_with(number bytes)
{
    static char text[4096];
    int length = snprintf(text, sizeof text, ".version 6.3\n.target sm_50\n.address_size 64\n");
    int count = 0;
    for (number part; bytes > 0 && length < (int)sizeof text - 256; bytes -= part) {
        part = bytes < ARRAY_BYTES ? bytes : ARRAY_BYTES;
        length += snprintf(text + length, sizeof text - (size_t)length,
                           ".visible .global .align 16 .b8 data_%d[%llu];\n", count++, part);
    }
    snprintf(text + length, sizeof text - (size_t)length, ".visible .entry kernel_0()\n{\n    ret;\n}\n");
    return bytes == 0 ? text : NULL;
}

/* Its handle is part of the answer, for a process that opens it. */
static CUresult offer_memory(CUdeviceptr memory)
{
    CUipcMemHandle handle;
    CUresult result = cuIpcGetMemHandle(&handle, memory);
    for (size_t i = 0; result == CUDA_SUCCESS && i < sizeof handle; i++)
        snprintf(offered + 1 + 2 * i, 3, "%02x", ((unsigned char *)&handle)[i]);
    return result;
}

static CUresult open_memory(CUdeviceptr *memory, const char *digits)
{
    CUipcMemHandle handle;
    unsigned byte;
    for (size_t i = 0; i < sizeof handle; i++) {
        if (sscanf(digits + 2 * i, "%2x", &byte) != 1)
            return CUDA_ERROR_INVALID_VALUE;
        ((unsigned char *)&handle)[i] = (unsigned char)byte;
    }
    return cuIpcOpenMemHandle_v2(memory, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
}

/* A kernel of its own name; with `local` one whose threads have so much local memory. */
static void name_kernel(char name[32], number slot, number local)
{
    snprintf(name, 32, local == 0 ? "kernel_%llu" : "fake_local_%llu", local == 0 ? slot : local);
}

static CUresult get_function(number slot, CUmodule module, number local)
{
    char name[32];
    name_kernel(name, slot, local);
    return cuModuleGetFunction(&functions[slot], module, name);
}

static CUresult get_kernel(number slot, CUlibrary library, number local)
{
    char name[32];
    CUkernel kernel;
    name_kernel(name, slot, local);
    CUresult result = cuLibraryGetKernel(&kernel, library, name);
    return result == CUDA_SUCCESS ? cuKernelGetFunction(&functions[slot], kernel) : result;
}

static CUresult get_unnamed_kernel(CUfunction *function, CUlibrary library)
{
    return cuLibraryEnumerateKernels((CUkernel *)function, 1, library); /* launched as it is */
}

static CUresult launch(CUfunction function)
{
    return cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
}

static CUresult begin(void)
{
    CUresult result = cuInit(0);
    if (result == CUDA_SUCCESS)
        result = cuDevicePrimaryCtxRetain(&primary, 0);
    return result == CUDA_SUCCESS ? cuCtxSetCurrent(primary) : result;
}

static CUresult do_memory(char what, number slot, number a, number b)
{
    size_t pitch;
    switch (what) {
    case 'a': return cuMemAlloc_v2(&memories[slot], a);
    case 'm': return cuMemAllocManaged(&memories[slot], a, CU_MEM_ATTACH_GLOBAL);
    case 'p': return cuMemAllocPitch_v2(&memories[slot], &pitch, a, b, 4);
    case 'f': return cuMemFree_v2(memories[slot]);
    case 'o': return offer_memory(memories[slot]);
    case 'z': return cuIpcCloseMemHandle(memories[slot]);
    case 'k': return allocate_in(contexts[a], &memories[slot], b);
    case 'j': return import_memory(memories[slot]);
    case 's': return cuMemAllocFromPoolAsync(&streams[slot], b, pools[a], NULL);
    case 'd': return cuMemAllocAsync_ptsz(&streams[slot], a, NULL);
    case 'F': return cuMemFreeAsync(streams[slot], NULL);
    case 'E': return cuMemFree_v2(streams[slot]);
    case 'y': return cuStreamSynchronize(NULL);
    case 'P': return make_pool(&pools[slot], a);
    case 'D': return cuMemPoolDestroy(pools[slot]);
    case '6': return most_held(pools[slot]);
    case 'T': return cuMemPoolTrimTo(pools[slot], a);
    default: return CUDA_ERROR_NOT_FOUND;
    }
}

static CUresult do_code(char what, number slot, number a, number b)
{
    CUdeviceptr variable;
    switch (what) {
    case 'l': return cuModuleLoadData(&modules[slot], a == 0 ? code : code_with(a));
    case 'u': return cuModuleUnload(modules[slot]);
    case 'L': return cuLibraryLoadData(&libraries[slot], a == 0 ? code : code_with(a), NULL, NULL, 0, NULL, NULL, 0);
    case 'V': return cuLibraryUnload(libraries[slot]);
    case 'q': return get_function(slot, modules[a], b);
    case 'Q': return get_kernel(slot, libraries[a], b);
    case 'x': return launch(functions[slot]);
    case 'e': return cuModuleEnumerateFunctions(&functions[slot], 1, modules[a]);
    case 'K': return get_unnamed_kernel(&functions[slot], libraries[a]);
    case '1': return make_sparse(&arrays[slot]);
    case '2': return map_tile(slot, arrays[a], handles[b]);
    case '3': return unmap_tile(slot);
    case '4': return attach(contexts[slot]);
    case '5': return cuCtxDetach(contexts[slot]);
    case 'S': return cuCtxSetLimit((CUlimit)a, b);
    case 'v': return cuModuleGetGlobal_v2(&variable, NULL, modules[a], "data_0");
    case 'w': return cuLibraryGetGlobal(&variable, NULL, libraries[a], "data_0");
    case 'b': return cuLibraryGetModule(&modules[slot], libraries[a]);
    case 'H': return cuFuncGetModule(&modules[slot], functions[a]);
    case '7': return cuDevicePrimaryCtxReset_v2(0);
    case '9': return cuDevicePrimaryCtxRelease_v2(0);
    case '8': return cuCtxSetCurrent(NULL);
    case 'J': return cuCtxSetCurrent(contexts[slot] ? contexts[slot] : primary);
    default: return CUDA_ERROR_NOT_FOUND;
    }
}

static CUresult do_other(char what, number slot, number a, number b)
{
    switch (what) {
    case 'c': return cuMemCreate(&handles[slot], a, &on_device, 0);
    case 'r': return cuMemRelease(handles[slot]);
    case 'M': return map(slot, handles[a], b);
    case 'U': return cuMemUnmap(mapped[slot], mapped_bytes[slot]);
    case 'R': return cuMemRetainAllocationHandle(&handles[slot], (char *)(uintptr_t)mapped[a] + 4096);
    case 'i': return import_handle(handles[slot]);
    case 'A': return make_array(&arrays[slot], a, b);
    case 'B': return cuArrayDestroy(arrays[slot]);
    case 'Y': return make_mipmap(&mipmaps[slot], a, b);
    case 'Z': return cuMipmappedArrayDestroy(mipmaps[slot]);
    case 'C': return make_context(&contexts[slot], (CUdevice)a);
    case 'X': return cuCtxDestroy_v2(contexts[slot]);
    case 'n': return make_green(&greens[slot]);
    case 'N': return cuGreenCtxDestroy(greens[slot]);
    case 'g': return make_graph(&graphs[slot], a);
    case 'G': return cuGraphLaunch(graphs[slot], NULL);
    case 'W': return cuGraphUpload(graphs[slot], NULL);
    case 'h': return cuGraphExecDestroy(graphs[slot]);
    case 't': return cuDeviceGraphMemTrim(0);
    default: return CUDA_ERROR_NOT_FOUND;
    }
}

static bool read_code(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(code, 1, sizeof code - 1, file) : 0;
    if (file)
        fclose(file);
    code[length] = 0;
    return length > 0;
}

int main(int count, char **arguments)
{
    char line[LINE_BYTES], digits[LINE_BYTES], what;
    if (count > 1 && !read_code(arguments[1]))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%d\n", (int)begin());
    while (fgets(line, sizeof line, stdin)) {
        number slot = 0, a = 0, b = 0;
        if (sscanf(line, "%c %llu %llu %llu", &what, &slot, &a, &b) < 1 || slot >= OBJECTS)
            return 1;
        if (!is_there(what, slot)) {
            puts("0");
            continue;
        }
        bool opens = sscanf(line, "O %*u %s", digits) == 1;
        CUresult result = opens ? open_memory(&memories[slot], digits) : CUDA_ERROR_NOT_FOUND;
        if (result == CUDA_ERROR_NOT_FOUND)
            result = do_memory(what, slot, a, b);
        if (result == CUDA_ERROR_NOT_FOUND)
            result = do_other(what, slot, a, b);
        if (result == CUDA_ERROR_NOT_FOUND)
            result = do_code(what, slot, a, b);
        forget(result == CUDA_SUCCESS ? what : '\0', slot);
        if (what != 'I') {
            printf("%d%s\n", (int)result, what == 'o' ? offered : "");
            continue;
        }
        size_t free = 0, total = 0;
        cuMemGetInfo_v2(&free, &total);
        printf("%zu %zu\n", free, total);
    }
    return 0;
}
