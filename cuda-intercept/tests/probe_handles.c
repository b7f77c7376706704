/*
 * Launches something brief very often, then something long that the driver has given the same
 * handle, and prints the part of the time that this kept the GPU busy: "probe_handles WORD".
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../fake/kernels.h"
#include "probe.h"

#define BRIEF_NS 5000
#define BRIEF_LAUNCHES 2000
#define SPARE_GRAPHS 7
#define LONG_NS 20000000
#define LONG_LAUNCHES 40

static CUmodule module;
static CUfunction kernel;
static CUstream stream;

static void load(void)
{
    must(cuModuleLoadData(&module, KERNELS), "cuModuleLoadData");
    must(cuModuleGetFunction(&kernel, module, TIMED_KERNEL), "cuModuleGetFunction");
}

static void begin(void)
{
    CUcontext context;
    must(cuInit(0), "cuInit");
    must(cuDevicePrimaryCtxRetain(&context, 0), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    load();
}

static void launch(uint64_t kernel_ns)
{
    void *parameters[] = {&kernel_ns};
    must(cuLaunchKernel(kernel, 1, 1, 1, 32, 1, 1, 0, stream, parameters, NULL), "cuLaunchKernel");
}

static void load_anew(void)
{
    CUfunction before = kernel;
    must(cuModuleUnload(module), "cuModuleUnload");
    load();
    if (kernel != before)
        fprintf(stderr, "another handle\n");
}

static CUgraph make_graph(uint64_t kernel_ns)
{
    CUgraph graph;
    must(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), "cuStreamBeginCapture");
    launch(kernel_ns);
    must(cuStreamEndCapture(stream, &graph), "cuStreamEndCapture");
    return graph;
}

static CUgraphExec make_executable(CUgraph graph)
{
    CUgraphExec executable;
    must(cuGraphInstantiateWithFlags(&executable, graph, 0), "cuGraphInstantiate");
    return executable;
}

static void launch_graph(CUgraphExec executable)
{
    must(cuGraphLaunch(executable, stream), "cuGraphLaunch");
}

/* Another graph in the place of the first, or the same one with other kernels. */
static CUgraphExec replace(CUgraphExec executable, int is_update)
{
    CUgraphExecUpdateResultInfo info;
    CUgraph graph = make_graph(LONG_NS);
    if (is_update) {
        must(cuGraphExecUpdate_v2(executable, graph, &info), "cuGraphExecUpdate");
        return executable;
    }
    CUgraphExec spare[SPARE_GRAPHS]; /* allocators keep the first few that are freed for themselves */
    for (int i = 0; i < SPARE_GRAPHS; i++)
        spare[i] = make_executable(graph);
    for (int i = 0; i < SPARE_GRAPHS; i++)
        must(cuGraphExecDestroy(spare[i]), "cuGraphExecDestroy");
    must(cuGraphExecDestroy(executable), "cuGraphExecDestroy");
    CUgraphExec other = make_executable(graph);
    if (other != executable)
        fprintf(stderr, "another handle\n");
    return other;
}

static void launch_functions(void)
{
    for (int i = 0; i < BRIEF_LAUNCHES; i++)
        launch(BRIEF_NS);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    load_anew();
    for (int i = 0; i < LONG_LAUNCHES; i++)
        launch(LONG_NS);
}

static void launch_graphs(int is_update)
{
    CUgraphExec executable = make_executable(make_graph(BRIEF_NS));
    for (int i = 0; i < BRIEF_LAUNCHES; i++)
        launch_graph(executable);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    executable = replace(executable, is_update);
    for (int i = 0; i < LONG_LAUNCHES; i++)
        launch_graph(executable);
}

int main(int count, char **arguments)
{
    const char *word = count > 1 ? arguments[1] : "";
    begin();
    uint64_t start = now_ns();
    if (strcmp(word, "module") == 0)
        launch_functions();
    else
        launch_graphs(strcmp(word, "update") == 0);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    double ran = (double)LONG_LAUNCHES * LONG_NS + (double)BRIEF_LAUNCHES * BRIEF_NS;
    printf("%.4f\n", ran / (double)(now_ns() - start));
    return EXIT_SUCCESS;
}
