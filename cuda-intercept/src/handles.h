/*
 * The driver gives the handle of what has ended to something else, and graphs are changed in
 * place: what a launch is known to cost holds for no longer than its handle means the same.
 */
#ifndef CI_HANDLES_H
#define CI_HANDLES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lookups.h"

/* Rises before a handle of a graph may come to mean another one. */
extern _Atomic uint64_t ci_graphs_age;

static inline uint64_t ci_handles_age(bool of_graphs)
{
    return atomic_load_explicit(of_graphs ? &ci_graphs_age : &ci_lookups_age, memory_order_relaxed);
}

/* The driver has handed the function out, maybe as one that was loaded only now. */
void ci_handle_met(const void *function);

/* A graph is about to end. */
void ci_graph_ends(const void *graph);

/* A graph's kernels are others now. */
void ci_graph_changed(const void *graph);

#endif
