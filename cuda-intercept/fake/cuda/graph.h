/* Graphs as other parts of the driver make them. */
#ifndef FG_GRAPH_H
#define FG_GRAPH_H

#include "driver.h"

CUresult fg_graph_add_kernel(CUgraphNode *out, CUgraph graph, uint64_t duration_ns);

/* Takes all nodes out. */
void fg_graph_empty(CUgraph graph);

/* How long a kernel runs, given how it is launched. */
uint64_t fg_kernel_ns(CUfunction function, void **parameters, void **extra);

/* Puts a kernel, or all those of a graph, into a stream or the graph that it captures. */
CUresult fg_run(CUstream stream, uint64_t duration_ns);

#endif
