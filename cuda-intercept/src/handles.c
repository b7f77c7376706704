#include "handles.h"

#include <stdint.h>

#include "cost.h"
#include "gate.h"

#define MET_COUNT 4096 /* a power of two; what finds its place taken is taken for new */
#define HASH_FACTOR 0x9e3779b97f4a7c15ULL
#define NO_THREADS 0 /* graphs do not tell how many */

_Atomic uint64_t ci_graphs_age;

/* The functions that were handed out, and the age of the handles by then. No lock: who is
 * late overwrites what is as true as his own. */
static struct {
    _Atomic uintptr_t function;
    _Atomic uint64_t age;
} met[MET_COUNT];

/* One that was handed out before any module ended is the same still, for as long as it is asked
 * for; one that is handed out again after some has may be another at the same address. */
void ci_handle_met(const void *function)
{
    uint64_t age = ci_handles_age(false);
    size_t place = (uintptr_t)function * HASH_FACTOR >> 52 & (MET_COUNT - 1);
    if (!ci_gate_is_set())
        return;
    uintptr_t before = atomic_exchange(&met[place].function, (uintptr_t)function);
    if (atomic_exchange(&met[place].age, age) != age && before == (uintptr_t)function)
        ci_cost_forget_all(function);
}

/* In this order: a launch that still finds the old cost is remembered with the old age. */
void ci_graph_ends(const void *graph)
{
    ci_cost_forget(graph, NO_THREADS);
    atomic_fetch_add(&ci_graphs_age, 1);
}

void ci_graph_changed(const void *graph)
{
    ci_cost_doubt(graph, NO_THREADS);
    atomic_fetch_add(&ci_graphs_age, 1);
}
