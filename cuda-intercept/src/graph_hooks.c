/*
 * Memory nodes of graphs. The graphs of a GPU share one pool of the driver's,
 * which grows when they are launched or uploaded; until a graph has run, it is
 * taken to need all that its nodes ask for at once.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "charging.h"
#include "gate.h"
#include "pools.h"
#include "process.h"
#include "resolve.h"

#define MAX_DEPTH 8
#define NO_DEVICE (-1)

/* What the memory nodes of a graph ask for, and where. */
struct need {
    CUdevice ordinal;
    uint64_t bytes;
};

static _Atomic bool any; /* spares programs without memory nodes the look-up */

static void add_graph(struct need *need, CUgraph graph, int depth);

static void add_node(struct need *need, CUgraphNode node, int depth)
{
    ci_pfn_cuGraphNodeGetType type_of = CI_CALL(cuGraphNodeGetType);
    ci_pfn_cuGraphMemAllocNodeGetParams memory_of = CI_CALL(cuGraphMemAllocNodeGetParams);
    ci_pfn_cuGraphChildGraphNodeGetGraph child_of = CI_CALL(cuGraphChildGraphNodeGetGraph);
    CUDA_MEM_ALLOC_NODE_PARAMS memory = {0};
    CUgraphNodeType type = 0;
    CUgraph child;
    if (type_of == NULL || type_of(node, &type) != CUDA_SUCCESS)
        return;
    if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC && memory_of != NULL && memory_of(node, &memory) == CUDA_SUCCESS) {
        need->ordinal = memory.pool.location.id;
        need->bytes += memory.bytes;
    }
    if (type == CU_GRAPH_NODE_TYPE_GRAPH && child_of != NULL && child_of(node, &child) == CUDA_SUCCESS)
        add_graph(need, child, depth + 1);
}

static void add_graph(struct need *need, CUgraph graph, int depth)
{
    ci_pfn_cuGraphGetNodes nodes_of = CI_CALL(cuGraphGetNodes);
    size_t count = 0;
    if (depth > MAX_DEPTH || nodes_of == NULL || nodes_of(graph, NULL, &count) != CUDA_SUCCESS || count == 0)
        return;
    CUgraphNode *nodes = calloc(count, sizeof(*nodes));
    if (nodes == NULL || nodes_of(graph, nodes, &count) != CUDA_SUCCESS)
        count = 0;
    for (size_t i = 0; i < count; i++)
        add_node(need, nodes[i], depth);
    free(nodes);
}

/* `trims`: 0, or of the growth in which the driver has uploaded it. */
static CUresult remember(CUresult result, const CUgraphExec *executable, CUgraph graph, unsigned int trims)
{
    struct need need = {NO_DEVICE, 0};
    if (result != CUDA_SUCCESS || ci_process_join() == NULL)
        return result;
    add_graph(&need, graph, 0);
    struct ci_allocation *entry = need.bytes == 0 ? NULL : calloc(1, sizeof(*entry));
    if (entry == NULL)
        return result;
    entry->space = CI_SPACE_GRAPH;
    entry->key = (uintptr_t)*executable;
    entry->extent = need.bytes;
    entry->handles = (unsigned int)need.ordinal;
    entry->mappings = trims;
    ci_pointers_insert(entry);
    atomic_store(&any, true);
    return result;
}

CUresult cuGraphInstantiate(CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer,
                            size_t bufferSize)
{
    ci_pfn_cuGraphInstantiate real = CI_CALL(cuGraphInstantiate);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    return remember(real(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize), phGraphExec, hGraph, 0);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *phGraphExec, CUgraph hGraph, CUgraphNode *phErrorNode, char *logBuffer,
                               size_t bufferSize)
{
    ci_pfn_cuGraphInstantiate_v2 real = CI_CALL(cuGraphInstantiate_v2);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    return remember(real(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize), phGraphExec, hGraph, 0);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *phGraphExec, CUgraph hGraph, unsigned long long flags)
{
    ci_pfn_cuGraphInstantiateWithFlags real = CI_CALL(cuGraphInstantiateWithFlags);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : remember(real(phGraphExec, hGraph, flags), phGraphExec, hGraph, 0);
}

/* A flag has the driver upload the graph at once. */
static CUresult instantiate(ci_pfn_cuGraphInstantiateWithParams real, CUgraphExec *executable, CUgraph graph,
                            CUDA_GRAPH_INSTANTIATE_PARAMS *parameters)
{
    struct need need = {NO_DEVICE, 0};
    struct ci_growth growth;
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    if (parameters != NULL && (parameters->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) != 0)
        add_graph(&need, graph, 0);
    if (need.bytes == 0)
        return remember(real(executable, graph, parameters), executable, graph, 0);
    if (ci_graph_begin(&growth, need.ordinal, need.bytes, 0) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(executable, graph, parameters);
    ci_growth_cancel(&growth); /* what it took is charged */
    return remember(result, executable, graph, growth.trims);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams)
{
    return instantiate(CI_CALL(cuGraphInstantiateWithParams), phGraphExec, hGraph, instantiateParams);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *phGraphExec, CUgraph hGraph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *instantiateParams)
{
    return instantiate(CI_CALL(cuGraphInstantiateWithParams_ptsz), phGraphExec, hGraph, instantiateParams);
}

typedef CUresult (*run_function)(CUgraphExec, CUstream);

static CUresult run_charged(run_function real, struct ci_allocation *entry, CUgraphExec graph, CUstream stream)
{
    struct ci_growth growth;
    if (ci_graph_begin(&growth, (CUdevice)entry->handles, entry->extent, entry->mappings) != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = real(graph, stream);
    if (result == CUDA_SUCCESS)
        entry->mappings = growth.trims;
    ci_growth_cancel(&growth); /* a launch cannot be taken back: what it took is charged */
    if (growth.pool == NULL)
        ci_graph_settle((CUdevice)entry->handles);
    return result;
}

static CUresult run(run_function real, CUgraphExec graph, CUstream stream)
{
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_allocation *entry =
        atomic_load_explicit(&any, memory_order_relaxed) ? ci_pointers_find(CI_SPACE_GRAPH, (uintptr_t)graph) : NULL;
    return entry == NULL ? real(graph, stream) : run_charged(real, entry, graph, stream);
}

static CUresult launch(run_function real, CUgraphExec graph, CUstream stream, bool per_thread)
{
    if (!atomic_load_explicit(&ci_gate_is_on, memory_order_relaxed))
        return run(real, graph, stream);
    struct ci_launch launch = {.stream = stream, .work = graph, .per_thread = per_thread, .is_graph = true};
    ci_gate_enter(&launch);
    CUresult result = run(real, graph, stream);
    ci_gate_leave(&launch, result);
    return result;
}

/* As launches of kernels find it: shares that hold nothing come here as well. */
static run_function find_launch(enum ci_symbol symbol, _Atomic(void *) *known)
{
    void *real = atomic_load_explicit(known, memory_order_acquire);
    return (run_function)(real == NULL ? ci_gate_begin(symbol, known) : real);
}

CUresult cuGraphLaunch(CUgraphExec hGraph, CUstream hStream)
{
    static _Atomic(void *) known;
    return launch(find_launch(CI_cuGraphLaunch, &known), hGraph, hStream, false);
}

CUresult cuGraphLaunch_ptsz(CUgraphExec hGraphExec, CUstream hStream)
{
    static _Atomic(void *) known;
    return launch(find_launch(CI_cuGraphLaunch_ptsz, &known), hGraphExec, hStream, true);
}

CUresult cuGraphUpload(CUgraphExec hGraph, CUstream hStream)
{
    return run(CI_CALL(cuGraphUpload), hGraph, hStream);
}

CUresult cuGraphUpload_ptsz(CUgraphExec hGraphExec, CUstream hStream)
{
    return run(CI_CALL(cuGraphUpload_ptsz), hGraphExec, hStream);
}

CUresult cuGraphExecDestroy(CUgraphExec hGraphExec)
{
    ci_pfn_cuGraphExecDestroy real = CI_CALL(cuGraphExecDestroy);
    if (real == NULL)
        return CUDA_ERROR_NO_DEVICE;
    struct ci_allocation *entry =
        atomic_load(&any) ? ci_pointers_take(CI_SPACE_GRAPH, (uintptr_t)hGraphExec) : NULL;
    ci_graph_ends(hGraphExec);
    CUresult result = real(hGraphExec);
    if (entry != NULL && result != CUDA_SUCCESS)
        ci_pointers_insert(entry);
    else if (entry != NULL) {
        ci_graph_settle((CUdevice)entry->handles);
        free(entry);
    }
    return result;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    return ci_graph_trim(device);
}
