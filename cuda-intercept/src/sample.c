/*
 * A launch is asynchronous: its cost is known only later. Nothing here ever
 * synchronises: pairs that the GPU has not passed are left for later. Asking
 * about events ends the captures of other threads, unless the thread is relaxed.
 */
#define _GNU_SOURCE
#include "sample.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "cuda_device.h"
#include "relaxed.h"
#include "resolve.h"

#define COUNT 64
#define ROUGH 8 /* a time on the host of this part matters */
#define NS_PER_MS 1000000.0

enum state { FREE, OPEN, RUNNING };

struct ci_sample {
    _Atomic int state;
    _Atomic(const void *) work;
    _Atomic(CUcontext) context; /* that the events are of; NULL: there are none */
    CUevent start;
    CUevent end;
    uint64_t begun_ns;
    uint64_t host_ns; /* what lay between the two records on the host */
    bool is_exact;    /* the GPU was busy all that time */
    uint32_t turn;
    struct ci_measurement measured;
};

/* Claimed by CAS of `state`; the claimant alone touches the rest. */
static struct ci_sample samples[COUNT];
static _Atomic int running;

/* Harvesting is for one thread at a time; the others go on without. */
static pthread_mutex_t harvest_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Held while events are made and destroyed; taken after the other one. */
static pthread_mutex_t events_mutex = PTHREAD_MUTEX_INITIALIZER;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

bool ci_sample_is_awaited(const void *work)
{
    for (int i = 0; i < COUNT; i++)
        if (atomic_load(&samples[i].state) == RUNNING && atomic_load(&samples[i].work) == work)
            return true;
    return false;
}

static CUresult record(CUevent event, const struct ci_launch *launch)
{
    ci_pfn_cuEventRecord real = launch->per_thread ? CI_CALL(cuEventRecord_ptsz) : CI_CALL(cuEventRecord);
    return real == NULL ? CUDA_ERROR_NO_DEVICE : real(event, launch->stream);
}

static bool make_events(struct ci_sample *sample)
{
    ci_pfn_cuEventCreate create = CI_CALL(cuEventCreate);
    ci_pfn_cuEventDestroy_v2 destroy = CI_CALL(cuEventDestroy_v2);
    if (create == NULL || create(&sample->start, 0) != CUDA_SUCCESS)
        return false;
    if (create(&sample->end, 0) == CUDA_SUCCESS)
        return true;
    if (destroy != NULL)
        destroy(sample->start);
    return false;
}

/* The context is the launch's, which need not be the thread's own. */
static bool make_events_in(struct ci_sample *sample, CUcontext context)
{
    ci_pfn_cuCtxPushCurrent_v2 push = CI_CALL(cuCtxPushCurrent_v2);
    ci_pfn_cuCtxPopCurrent_v2 pop = CI_CALL(cuCtxPopCurrent_v2);
    if (context == ci_current_context())
        return make_events(sample);
    if (push == NULL || pop == NULL || push(context) != CUDA_SUCCESS)
        return false;
    bool made = make_events(sample);
    pop(&context);
    return made;
}

static void destroy_events(struct ci_sample *sample)
{
    ci_pfn_cuEventDestroy_v2 destroy = CI_CALL(cuEventDestroy_v2);
    if (atomic_exchange(&sample->context, NULL) == NULL || destroy == NULL)
        return;
    destroy(sample->start);
    destroy(sample->end);
}

/* A pair of events belongs to one context; a claimed slot gets new ones for another. */
static bool prepare(struct ci_sample *sample, CUcontext context)
{
    if (atomic_load(&sample->context) == context)
        return true;
    pthread_mutex_lock(&events_mutex);
    struct ci_relaxed relaxed = ci_relax();
    destroy_events(sample);
    bool made = make_events_in(sample, context);
    if (made)
        atomic_store(&sample->context, context);
    ci_relax_end(relaxed);
    pthread_mutex_unlock(&events_mutex);
    return made;
}

static void free_sample(struct ci_sample *sample)
{
    atomic_store(&sample->state, FREE);
}

static bool try_to_claim(struct ci_sample *sample)
{
    int expected = FREE;
    return atomic_compare_exchange_strong(&sample->state, &expected, OPEN);
}

/* A slot that has events of the context, else one that has none, else any: a program that
 * takes turns between contexts would have them made anew each time. */
static struct ci_sample *claim(CUcontext context)
{
    for (int i = 0; i < COUNT; i++)
        if (atomic_load(&samples[i].context) == context && try_to_claim(&samples[i]))
            return &samples[i];
    for (int i = 0; i < COUNT; i++)
        if (atomic_load(&samples[i].context) == NULL && try_to_claim(&samples[i]))
            return &samples[i];
    for (int i = 0; i < COUNT; i++)
        if (try_to_claim(&samples[i]))
            return &samples[i];
    return NULL;
}

struct ci_sample *ci_sample_begin(const struct ci_launch *launch, const struct ci_measurement *expected, uint32_t turn)
{
    CUcontext context = ci_context_of_stream(launch->stream);
    struct ci_sample *sample = context == NULL ? NULL : claim(context);
    if (sample == NULL)
        return NULL;
    sample->measured = *expected;
    sample->turn = turn;
    if (prepare(sample, context)) {
        sample->begun_ns = clock_ns();
        if (record(sample->start, launch) == CUDA_SUCCESS)
            return sample;
        atomic_store(&sample->context, NULL); /* they may be of a context that ended without our knowing */
    }
    free_sample(sample);
    return NULL;
}

/* Whether the GPU has not come to the start yet: it has other work of ours to do,
 * so that nothing of the pair's time was spent on the host. */
static bool is_queued(const struct ci_sample *sample)
{
    ci_pfn_cuEventQuery query = CI_CALL(cuEventQuery);
    struct ci_relaxed relaxed = ci_relax();
    bool queued = query != NULL && query(sample->start) == CUDA_ERROR_NOT_READY;
    ci_relax_end(relaxed);
    return queued;
}

void ci_sample_end(struct ci_sample *sample, const struct ci_launch *launch, bool is_launched)
{
    if (!is_launched || record(sample->end, launch) != CUDA_SUCCESS) {
        free_sample(sample);
        return;
    }
    sample->host_ns = clock_ns() - sample->begun_ns;
    sample->is_exact = is_queued(sample);
    atomic_store(&sample->work, sample->measured.work);
    atomic_fetch_add(&running, 1);
    atomic_store(&sample->state, RUNNING);
}

static void finish(struct ci_sample *sample, void (*settle)(const struct ci_measurement *, uint32_t))
{
    ci_pfn_cuEventElapsedTime elapsed = CI_CALL(cuEventElapsedTime);
    float milliseconds = 0;
    struct ci_measurement measured = sample->measured;
    uint32_t turn = sample->turn;
    uint64_t host_ns = sample->is_exact ? 0 : sample->host_ns;
    bool good = elapsed != NULL && elapsed(&milliseconds, sample->start, sample->end) == CUDA_SUCCESS;
    atomic_fetch_sub(&running, 1);
    free_sample(sample);
    if (!good || milliseconds < 0)
        return;
    measured.gpu_ns = (int64_t)((double)milliseconds * NS_PER_MS);
    /* where the GPU had nothing else to do, the pair holds the time on the host as well */
    measured.is_rough = host_ns * ROUGH > (uint64_t)measured.gpu_ns;
    settle(&measured, turn);
}

static void look(struct ci_sample *sample, void (*settle)(const struct ci_measurement *, uint32_t))
{
    ci_pfn_cuEventQuery query = CI_CALL(cuEventQuery);
    CUresult result = query == NULL ? CUDA_ERROR_NO_DEVICE : query(sample->end);
    if (result == CUDA_SUCCESS)
        finish(sample, settle);
    else if (result != CUDA_ERROR_NOT_READY) { /* its context is gone */
        atomic_store(&sample->context, NULL);
        atomic_fetch_sub(&running, 1);
        free_sample(sample);
    }
}

void ci_sample_harvest(void (*settle)(const struct ci_measurement *, uint32_t))
{
    if (atomic_load(&running) == 0 || pthread_mutex_trylock(&harvest_mutex) != 0)
        return;
    struct ci_relaxed relaxed = ci_relax();
    for (int i = 0; i < COUNT; i++)
        if (atomic_load(&samples[i].state) == RUNNING)
            look(&samples[i], settle);
    ci_relax_end(relaxed);
    pthread_mutex_unlock(&harvest_mutex);
}

void ci_samples_hold(void)
{
    pthread_mutex_lock(&harvest_mutex);
    pthread_mutex_lock(&events_mutex);
}

void ci_samples_forget(const void *context)
{
    for (int i = 0; i < COUNT; i++) {
        if (atomic_load(&samples[i].context) != context)
            continue;
        atomic_store(&samples[i].context, NULL);
        if (atomic_load(&samples[i].state) != RUNNING)
            continue;
        atomic_fetch_sub(&running, 1);
        free_sample(&samples[i]);
    }
}

void ci_samples_let_go(void)
{
    pthread_mutex_unlock(&events_mutex);
    pthread_mutex_unlock(&harvest_mutex);
}

void ci_sample_reset(void)
{
    for (int i = 0; i < COUNT; i++) {
        atomic_store(&samples[i].context, NULL);
        free_sample(&samples[i]);
    }
    atomic_store(&running, 0);
    harvest_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; /* the parent may have held them */
    events_mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}
