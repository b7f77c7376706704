/*
 * A launch is asynchronous: its cost is known only later. Event pairs around
 * some launches tell it; the others are charged what their function cost so far
 * (an EWMA). Nothing here ever synchronises: unfinished pairs are left for later.
 */
#include "cost.h"

#include <pthread.h>
#include <stdatomic.h>

#include "resolve.h"

#define SAMPLE_COUNT 64
#define COST_COUNT 1024
#define SAMPLE_EVERY 16 /* launches of a known function between two samples */
#define EWMA_SHIFT 2
#define NS_PER_MS 1000000.0

enum sample_state { SAMPLE_FREE, SAMPLE_OPEN, SAMPLE_RUNNING };

struct ci_sample {
    _Atomic int state;
    CUcontext context; /* events belong to one */
    CUevent start;
    CUevent end;
    _Atomic(const void *) work;
    struct ci_device device;
    int64_t estimate_ns;
};

/* Claimed by CAS of `state`; the claimant alone touches the rest. */
static struct ci_sample samples[SAMPLE_COUNT];

/* Direct-mapped; a collision only forgets a cost. */
static struct {
    _Atomic(const void *) work;
    _Atomic int64_t cost_ns;
    _Atomic unsigned int launches;
    _Atomic int64_t unpaid; /* launches before the first cost was known, without a sample */
} costs[COST_COUNT];

/* Harvesting is for one thread at a time; the others go on without. */
static pthread_mutex_t harvest_mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t cost_index(const void *work)
{
    uint64_t key = (uint64_t)(uintptr_t)work * 0x9e3779b97f4a7c15ULL;
    return key >> 54;
}

int64_t ci_cost_estimate(const void *work)
{
    size_t i = cost_index(work);
    return atomic_load(&costs[i].work) == work ? atomic_load(&costs[i].cost_ns) : 0;
}

bool ci_cost_is_awaited(const void *work)
{
    for (int i = 0; ci_cost_estimate(work) == 0 && i < SAMPLE_COUNT; i++)
        if (atomic_load(&samples[i].state) == SAMPLE_RUNNING && atomic_load(&samples[i].work) == work)
            return true;
    return false;
}

/* Remembers a cost; returns what launches owe that went before it was known. */
static int64_t learn(const void *work, int64_t cost_ns)
{
    size_t i = cost_index(work);
    int64_t old = ci_cost_estimate(work);
    int64_t next = old > 0 ? old + ((cost_ns - old) >> EWMA_SHIFT) : cost_ns;
    atomic_store(&costs[i].cost_ns, next > 0 ? next : 1);
    atomic_store(&costs[i].work, work);
    return atomic_exchange(&costs[i].unpaid, 0) * cost_ns;
}

static bool is_due(const void *work)
{
    size_t i = cost_index(work);
    unsigned int launches = atomic_fetch_add(&costs[i].launches, 1);
    return ci_cost_estimate(work) == 0 || launches % SAMPLE_EVERY == 0;
}

static CUresult record(CUevent event, const struct ci_launch *launch)
{
    ci_pfn_cuEventRecord real = launch->per_thread ? CI_CALL(cuEventRecord_ptsz) : CI_CALL(cuEventRecord);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : real(event, launch->stream);
}

/* Two events of the current context; a slot of another context gets new ones. */
static bool prepare(struct ci_sample *sample)
{
    ci_pfn_cuEventCreate create = CI_CALL(cuEventCreate);
    ci_pfn_cuCtxGetCurrent current = CI_CALL(cuCtxGetCurrent);
    CUcontext context = NULL;
    if (create == NULL || current == NULL || current(&context) != CUDA_SUCCESS || context == NULL)
        return false;
    if (sample->context == context)
        return true;
    sample->context = NULL; /* events of a context that is gone went with it */
    if (create(&sample->start, 0) != CUDA_SUCCESS || create(&sample->end, 0) != CUDA_SUCCESS)
        return false;
    sample->context = context;
    return true;
}

struct ci_sample *ci_cost_begin(const struct ci_launch *launch)
{
    if (!is_due(launch->work))
        return NULL;
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        struct ci_sample *sample = &samples[i];
        int expected = SAMPLE_FREE;
        if (!atomic_compare_exchange_strong(&sample->state, &expected, SAMPLE_OPEN))
            continue;
        if (prepare(sample) && record(sample->start, launch) == CUDA_SUCCESS)
            return sample;
        atomic_store(&sample->state, SAMPLE_FREE);
        return NULL;
    }
    return NULL;
}

void ci_cost_end(struct ci_sample *sample, const struct ci_launch *launch, const struct ci_device *device,
                 int64_t estimate_ns)
{
    if (sample == NULL) {
        if (estimate_ns == 0)
            atomic_fetch_add(&costs[cost_index(launch->work)].unpaid, 1);
        return;
    }
    atomic_store(&sample->work, launch->work);
    sample->device = *device;
    sample->estimate_ns = estimate_ns;
    int state = record(sample->end, launch) == CUDA_SUCCESS ? SAMPLE_RUNNING : SAMPLE_FREE;
    atomic_store(&sample->state, state);
}

void ci_cost_cancel(struct ci_sample *sample)
{
    if (sample != NULL)
        atomic_store(&sample->state, SAMPLE_FREE);
}

static void finish(struct ci_sample *sample, void (*settle)(const struct ci_device *, int64_t))
{
    ci_pfn_cuEventElapsedTime elapsed = CI_CALL(cuEventElapsedTime);
    float milliseconds = 0;
    if (elapsed != NULL && elapsed(&milliseconds, sample->start, sample->end) == CUDA_SUCCESS && milliseconds >= 0) {
        int64_t cost_ns = (int64_t)(milliseconds * NS_PER_MS);
        int64_t unpaid_ns = learn(atomic_load(&sample->work), cost_ns);
        settle(&sample->device, cost_ns - sample->estimate_ns + unpaid_ns);
    }
    atomic_store(&sample->state, SAMPLE_FREE);
}

void ci_cost_harvest(void (*settle)(const struct ci_device *, int64_t))
{
    ci_pfn_cuEventQuery query = CI_CALL(cuEventQuery);
    if (query == NULL || pthread_mutex_trylock(&harvest_mutex) != 0)
        return;
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        if (atomic_load(&samples[i].state) != SAMPLE_RUNNING)
            continue;
        CUresult result = query(samples[i].end);
        if (result == CUDA_SUCCESS)
            finish(&samples[i], settle);
        else if (result != CUDA_ERROR_NOT_READY) { /* its context is gone */
            samples[i].context = NULL;
            atomic_store(&samples[i].state, SAMPLE_FREE);
        }
    }
    pthread_mutex_unlock(&harvest_mutex);
}
