/* Graphs that are changed in place: what they cost is to be measured anew. Hooked only where
 * launches are held back. */
#include "gate.h"
#include "handles.h"
#include "resolve.h"

/* Also where the driver refuses: a refused update may have changed some nodes. */
static CUresult changed(CUgraphExec graph, CUresult result)
{
    ci_graph_changed(graph);
    return result;
}

#define CHANGE(name, parameters, ...)                                                                                  \
    CUresult name parameters                                                                                           \
    {                                                                                                                  \
        ci_pfn_##name real = CI_CALL(name);                                                                            \
        return real == NULL ? CUDA_ERROR_NO_DEVICE : changed(graph, real(graph, __VA_ARGS__));                         \
    }

CHANGE(cuGraphExecUpdate,
       (CUgraphExec graph, CUgraph other, CUgraphNode *node, CUgraphExecUpdateResult *outcome), other, node, outcome)
CHANGE(cuGraphExecUpdate_v2, (CUgraphExec graph, CUgraph other, CUgraphExecUpdateResultInfo *outcome), other, outcome)
CHANGE(cuGraphExecKernelNodeSetParams,
       (CUgraphExec graph, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *kernel), node, kernel)
CHANGE(cuGraphExecKernelNodeSetParams_v2,
       (CUgraphExec graph, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS *kernel), node, kernel)
CHANGE(cuGraphExecMemcpyNodeSetParams,
       (CUgraphExec graph, CUgraphNode node, const CUDA_MEMCPY3D *copy, CUcontext context), node, copy, context)
CHANGE(cuGraphExecMemsetNodeSetParams,
       (CUgraphExec graph, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *fill, CUcontext context), node, fill,
       context)
CHANGE(cuGraphExecChildGraphNodeSetParams, (CUgraphExec graph, CUgraphNode node, CUgraph child), node, child)
CHANGE(cuGraphExecNodeSetParams, (CUgraphExec graph, CUgraphNode node, CUgraphNodeParams *parameters), node,
       parameters)
CHANGE(cuGraphNodeSetEnabled, (CUgraphExec graph, CUgraphNode node, unsigned int enabled), node, enabled)
