/* Graphs, of kernels, memory nodes and empty ones. A launch runs all kernels one
 * after the other. All graphs of a GPU share one pool of
 * their own: a launch reserves what its allocations need, what no free node
 * frees stays in use, and only a trim gives anything back. Until then, or until it ends,
 * a graph has its memory mapped, which counts as used by graphs; idle ones map the same. */
#include "graph.h"

#include "fault.h"
#include "memory.h"
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NODES 1024

struct CUgraphNode_st {
    CUgraphNodeType type;
    CUDA_MEM_ALLOC_NODE_PARAMS allocation;
    CUdeviceptr freed;
    uint64_t kernel_ns;
};

struct CUgraph_st {
    unsigned count;
    struct CUgraphNode_st *nodes[MAX_NODES]; /* kept for ever: addresses are their names */
};

struct CUgraphExec_st {
    CUdevice device;
    uint64_t bytes; /* all that its nodes allocate */
    uint64_t kernel_ns; /* how long its kernels run */
    uint64_t left;  /* of it, what no node of its own frees */
    bool running;   /* launched, and what was left is not freed yet */
    bool mapped;    /* launched or uploaded since the last trim */
    CUgraphExec next;
};

static struct CUmemPoolHandle_st pools[FG_MAX_GPUS];
static CUgraphExec executables; /* that allocate */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards pools and executables */

static CUmemoryPool pool_of(CUdevice device)
{
    if (!fg_device(device))
        return NULL;
    pools[device].gpu = fg_device(device);
    return &pools[device];
}

CUresult cuGraphCreate(CUgraph *out, unsigned int flags)
{
    CUresult result = fg_ready();
    if (result != CUDA_SUCCESS)
        return result;
    if (!out || flags)
        return CUDA_ERROR_INVALID_VALUE;
    *out = calloc(1, sizeof **out);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    free(graph);
    return graph ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult add(CUgraphNode *out, CUgraph graph, struct CUgraphNode_st node)
{
    if (!out || !graph || graph->count == MAX_NODES)
        return CUDA_ERROR_INVALID_VALUE;
    CUgraphNode made = malloc(sizeof *made);
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = node;
    graph->nodes[graph->count++] = made;
    *out = made;
    return CUDA_SUCCESS;
}

void fg_graph_empty(CUgraph graph)
{
    graph->count = 0;
}

CUresult cuGraphAddEmptyNode(CUgraphNode *out, CUgraph graph, const CUgraphNode *after, size_t count)
{
    (void)after, (void)count;
    return add(out, graph, (struct CUgraphNode_st){.type = CU_GRAPH_NODE_TYPE_EMPTY});
}

CUresult fg_graph_add_kernel(CUgraphNode *out, CUgraph graph, uint64_t duration_ns)
{
    return add(out, graph,
               (struct CUgraphNode_st){.type = CU_GRAPH_NODE_TYPE_KERNEL, .kernel_ns = duration_ns});
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *out, CUgraph graph, const CUgraphNode *after, size_t count,
                                 const CUDA_KERNEL_NODE_PARAMS_v2 *kernel)
{
    (void)after, (void)count;
    if (!kernel || !kernel->func)
        return CUDA_ERROR_INVALID_VALUE;
    return fg_graph_add_kernel(out, graph, fg_kernel_ns(kernel->func, kernel->kernelParams, kernel->extra));
}

CUresult cuGraphAddKernelNode(CUgraphNode *out, CUgraph graph, const CUgraphNode *after, size_t count,
                              const CUDA_KERNEL_NODE_PARAMS_v1 *kernel)
{
    (void)after, (void)count;
    if (!kernel || !kernel->func)
        return CUDA_ERROR_INVALID_VALUE;
    return fg_graph_add_kernel(out, graph, fg_kernel_ns(kernel->func, kernel->kernelParams, kernel->extra));
}

/* The address is fixed with the node; its memory comes with the launch. */
CUresult cuGraphAddMemAllocNode(CUgraphNode *out, CUgraph graph, const CUgraphNode *after,
                                size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
{
    (void)after, (void)count;
    if (!parameters || !parameters->bytesize || !fg_device(parameters->poolProps.location.id))
        return CUDA_ERROR_INVALID_VALUE;
    CUdeviceptr address;
    CUresult result = fg_memory_allocate(FG_IMPORTED, parameters->bytesize, 0, &address);
    if (result != CUDA_SUCCESS)
        return result;
    parameters->dptr = address;
    return add(out, graph,
               (struct CUgraphNode_st){.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC, .allocation = *parameters});
}

CUresult cuGraphAddMemFreeNode(CUgraphNode *out, CUgraph graph, const CUgraphNode *after, size_t count,
                               CUdeviceptr address)
{
    (void)after, (void)count;
    return add(out, graph, (struct CUgraphNode_st){.type = CU_GRAPH_NODE_TYPE_MEM_FREE, .freed = address});
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *out, size_t *count)
{
    if (!graph || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; out && i < *count; i++)
        out[i] = i < graph->count ? graph->nodes[i] : NULL;
    *count = out && *count < graph->count ? *count : graph->count;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *out)
{
    if (!node || !out)
        return CUDA_ERROR_INVALID_VALUE;
    *out = node->type;
    return CUDA_SUCCESS;
}

CUresult cuGraphMemAllocNodeGetParams(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS *out)
{
    if (!node || !out || node->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        return CUDA_ERROR_INVALID_VALUE;
    *out = node->allocation;
    return CUDA_SUCCESS;
}

static bool frees(CUgraph graph, CUdeviceptr address)
{
    for (unsigned i = 0; i < graph->count; i++)
        if (graph->nodes[i]->type == CU_GRAPH_NODE_TYPE_MEM_FREE && graph->nodes[i]->freed == address)
            return true;
    return false;
}

static CUresult instantiate(CUgraphExec *out, CUgraph graph)
{
    CUgraphExec made = out && graph ? calloc(1, sizeof *made) : NULL;
    if (!made)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < graph->count; i++) {
        const struct CUgraphNode_st *node = graph->nodes[i];
        made->kernel_ns += node->kernel_ns;
        if (node->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            continue;
        made->device = node->allocation.poolProps.location.id;
        made->bytes += node->allocation.bytesize;
        made->left += frees(graph, node->allocation.dptr) ? 0 : node->allocation.bytesize;
    }
    if (made->bytes) {
        pthread_mutex_lock(&lock);
        made->next = executables;
        executables = made;
        pthread_mutex_unlock(&lock);
    }
    *out = made;
    return CUDA_SUCCESS;
}

/* What graphs of the device have mapped, or what they left behind is more. */
static uint64_t mapped_bytes(CUdevice device)
{
    uint64_t most = pools[device].used;
    for (CUgraphExec one = executables; one; one = one->next)
        if (one->mapped && one->device == device && one->bytes > most)
            most = one->bytes;
    return most;
}

/* Of the kernels only: their time is all that may differ. */
CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    (void)info;
    if (!exec || !graph)
        return CUDA_ERROR_INVALID_VALUE;
    exec->kernel_ns = 0;
    for (unsigned i = 0; i < graph->count; i++)
        exec->kernel_ns += graph->nodes[i]->kernel_ns;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags)
{
    (void)flags;
    return FG_FAULTY("cuGraphInstantiate", instantiate(out, graph));
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *out, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    CUresult result = cuGraphInstantiateWithFlags(out, graph, params ? params->flags : 0);
    if (result == CUDA_SUCCESS && params && params->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)
        result = cuGraphUpload(*out, params->hUploadStream);
    return result;
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *out, CUgraph graph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    return cuGraphInstantiateWithParams(out, graph, params);
}

CUresult cuGraphInstantiate(CUgraphExec *out, CUgraph graph, CUgraphNode *node, char *log, size_t size)
{
    (void)node, (void)log, (void)size;
    return cuGraphInstantiateWithFlags(out, graph, 0);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *out, CUgraph graph, CUgraphNode *node, char *log, size_t size)
{
    return cuGraphInstantiate(out, graph, node, log, size);
}

static CUresult end(CUgraphExec graph)
{
    pthread_mutex_lock(&lock);
    CUgraphExec *link = &executables;
    while (*link && *link != graph)
        link = &(*link)->next;
    if (*link)
        *link = graph->next;
    pthread_mutex_unlock(&lock);
    free(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec graph)
{
    return graph ? FG_FAULTY("cuGraphExecDestroy", end(graph)) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult reserve(CUgraphExec graph)
{
    if (!graph->bytes)
        return CUDA_SUCCESS;
    if (graph->running)
        return CUDA_ERROR_INVALID_VALUE; /* what it left is still in use */
    CUmemoryPool pool = pool_of(graph->device);
    pthread_mutex_lock(&lock);
    CUresult result = fg_pool_take(pool, graph->bytes);
    if (result == CUDA_SUCCESS) {
        fg_pool_put(pool, graph->bytes - graph->left);
        graph->running = graph->left > 0;
        graph->mapped = true;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static CUresult launch(CUgraphExec graph, CUstream stream)
{
    CUresult result = reserve(graph);
    return result == CUDA_SUCCESS && graph->kernel_ns ? fg_run(stream, graph->kernel_ns) : result;
}

CUresult cuGraphLaunch(CUgraphExec graph, CUstream handle)
{
    CUresult result;
    CUstream stream = fg_stream(handle, &result);
    if (!stream)
        return result;
    return graph ? FG_FAULTY("cuGraphLaunch", launch(graph, stream)) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphLaunch_ptsz(CUgraphExec graph, CUstream handle)
{
    return cuGraphLaunch(graph, fg_per_thread(handle));
}

/* Reserves as a launch would, without running. */
static CUresult upload(CUgraphExec graph)
{
    if (!graph->bytes || graph->running)
        return CUDA_SUCCESS;
    CUmemoryPool pool = pool_of(graph->device);
    pthread_mutex_lock(&lock);
    CUresult result = fg_pool_take(pool, graph->bytes);
    if (result == CUDA_SUCCESS) {
        fg_pool_put(pool, graph->bytes);
        graph->mapped = true;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

CUresult cuGraphUpload(CUgraphExec graph, CUstream handle)
{
    CUresult result;
    if (!fg_stream(handle, &result))
        return result;
    return graph ? FG_FAULTY("cuGraphUpload", upload(graph)) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphUpload_ptsz(CUgraphExec graph, CUstream handle)
{
    return cuGraphUpload(graph, fg_per_thread(handle));
}

static CUresult trim(CUmemoryPool pool, CUdevice device)
{
    pthread_mutex_lock(&lock);
    fg_pool_trim(pool, 0);
    for (CUgraphExec one = executables; one; one = one->next)
        if (one->device == device)
            one->mapped = false;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    CUmemoryPool pool = pool_of(device);
    return pool ? FG_FAULTY("cuDeviceGraphMemTrim", trim(pool, device)) : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute name, void *out)
{
    CUmemoryPool pool = pool_of(device);
    if (!pool || !out)
        return pool ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&lock);
    uint64_t used = mapped_bytes(device);
    pthread_mutex_unlock(&lock);
    const uint64_t values[] = {used, pool->used_high, pool->reserved, pool->reserved_high};
    if ((unsigned)name >= sizeof values / sizeof *values)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(out, &values[name], sizeof *values);
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute name, void *value)
{
    CUmemoryPool pool = pool_of(device);
    if (!pool || !value)
        return pool ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_DEVICE;
    if (name == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)
        pool->used_high = pool->used;
    else if (name == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
        pool->reserved_high = pool->reserved;
    return CUDA_SUCCESS;
}
