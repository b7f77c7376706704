/*
 * Captures a few kernels in one way after another and tells how many nodes each graph has:
 * "probe_captures KERNEL_NS". One kernel is launched before, so that it is known what they take.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../fake/kernels.h"
#include "probe.h"

#define KERNELS_CAPTURED 4
#define MODE CU_STREAM_CAPTURE_MODE_GLOBAL

/* The header knows these by other names only. */
CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode);
CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const CUgraphNode *nodes,
                                          const CUgraphEdgeData *edges, size_t count, CUstreamCaptureMode mode);
CUresult cuStreamBeginRecaptureToGraph_ptsz(CUstream stream, CUstreamCaptureMode mode, CUgraph graph,
                                            CUgraphRecaptureCallback callback, void *data);
CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *graph);

static CUfunction kernel;
static uint64_t kernel_ns;

static CUresult begin(CUstream stream, CUgraph graph)
{
    (void)graph;
    return cuStreamBeginCapture(stream);
}

static CUresult begin_ptsz(CUstream stream, CUgraph graph)
{
    (void)graph;
    return cuStreamBeginCapture_ptsz(stream);
}

static CUresult begin_v2(CUstream stream, CUgraph graph)
{
    (void)graph;
    return cuStreamBeginCapture_v2(stream, MODE);
}

static CUresult begin_v2_ptsz(CUstream stream, CUgraph graph)
{
    (void)graph;
    return cuStreamBeginCapture_v2_ptsz(stream, MODE);
}

static CUresult begin_to_graph(CUstream stream, CUgraph graph)
{
    return cuStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, MODE);
}

static CUresult begin_to_graph_ptsz(CUstream stream, CUgraph graph)
{
    return cuStreamBeginCaptureToGraph_ptsz(stream, graph, NULL, NULL, 0, MODE);
}

static CUresult begin_anew(CUstream stream, CUgraph graph)
{
    return cuStreamBeginRecaptureToGraph(stream, MODE, graph, NULL, NULL);
}

static CUresult begin_anew_ptsz(CUstream stream, CUgraph graph)
{
    return cuStreamBeginRecaptureToGraph_ptsz(stream, MODE, graph, NULL, NULL);
}

static const struct way {
    const char *name;
    CUresult (*begin)(CUstream stream, CUgraph graph);
    bool per_thread; /* on the thread's own default stream */
} ways[] = {
    {"cuStreamBeginCapture", begin, false},
    {"cuStreamBeginCapture_ptsz", begin_ptsz, true},
    {"cuStreamBeginCapture_v2", begin_v2, false},
    {"cuStreamBeginCapture_v2_ptsz", begin_v2_ptsz, true},
    {"cuStreamBeginCaptureToGraph", begin_to_graph, false},
    {"cuStreamBeginCaptureToGraph_ptsz", begin_to_graph_ptsz, true},
    {"cuStreamBeginRecaptureToGraph", begin_anew, false},
    {"cuStreamBeginRecaptureToGraph_ptsz", begin_anew_ptsz, true},
};

static void launch(CUstream stream, bool per_thread)
{
    void *parameters[] = {&kernel_ns};
    must(per_thread ? cuLaunchKernel_ptsz(kernel, 1, 1, 1, 32, 1, 1, 0, stream, parameters, NULL)
                    : cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, stream, parameters, NULL),
         "cuLaunchKernel");
}

static size_t capture(const struct way *way, CUstream stream)
{
    CUgraph graph;
    size_t nodes = 0;
    must(cuGraphCreate(&graph, 0), "cuGraphCreate");
    must(way->begin(stream, graph), way->name);
    for (int i = 0; i < KERNELS_CAPTURED; i++)
        launch(stream, way->per_thread);
    must(way->per_thread ? cuStreamEndCapture_ptsz(stream, &graph) : cuStreamEndCapture(stream, &graph), way->name);
    must(cuGraphGetNodes(graph, NULL, &nodes), "cuGraphGetNodes");
    return nodes;
}

int main(int count, char **arguments)
{
    CUcontext context;
    CUmodule module;
    CUstream stream;
    kernel_ns = count > 1 ? strtoull(arguments[1], NULL, 10) : 0;
    must(cuInit(0), "cuInit");
    must(cuDevicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuModuleGetFunction(&kernel, module, TIMED_KERNEL), "cuModuleGetFunction");
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    launch(stream, false);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        printf("%s %zu\n", ways[i].name, capture(&ways[i], ways[i].per_thread ? NULL : stream));
    return EXIT_SUCCESS;
}
