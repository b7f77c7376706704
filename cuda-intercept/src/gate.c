/*
 * The launch gate: a budget of GPU nanoseconds per share, in its ledger, filled
 * from the clock at the share's percent and spent by its launches. It may go
 * below zero: a long kernel is paid back before the next one starts.
 */
#define _GNU_SOURCE
#include "gate.h"

#include <stdatomic.h>
#include <time.h>

#include "../include/share_env.h"
#include "cost.h"
#include "cuda_device.h"
#include "process.h"
#include "resolve.h"

#define WINDOW_NS 100000000LL
#define PAUSE_MAX_NS 5000000LL
#define WAIT_MAX_NS 10000000000LL /* a launch is never held longer: a peer may wait for it */
#define COST_PAUSE_NS 100000
#define CAPTURE_NONE 0

bool ci_gate_is_set(void)
{
    const struct ci_config *config = ci_config_get();
    return config != NULL && config->gated;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
}

static bool is_held_to(const struct ci_limits *limits)
{
    return limits->core_percent > 0 && limits->core_limit == CI_CORES_HARD;
}

/* The percent of all shares of the GPU together; 0: one of them is unlimited. */
static unsigned int percent_of(const struct ci_config *config, const struct ci_device *device)
{
    unsigned int sum = 0;
    for (int i = 0; i < device->count; i++) {
        const struct ci_share *share = &config->shares[device->shares[i]];
        /* a ledger that is out of order closes memory, never launches */
        if (!is_held_to(&share->limits) || !ci_region_is_intact(&share->region))
            return 0;
        sum += share->limits.core_percent;
    }
    return sum;
}

static int64_t balance(struct ci_config *config, const struct ci_device *device)
{
    int64_t sum = 0;
    for (int i = 0; i < device->count; i++) {
        struct ci_share *share = &config->shares[device->shares[i]];
        unsigned int percent = share->limits.core_percent;
        sum += ci_region_refill(&share->region, (uint64_t)now_ns(), percent, WINDOW_NS * percent / 100);
    }
    return sum;
}

/* Spends on each share its part by percent. */
static void spend(const struct ci_device *device, int64_t gpu_ns)
{
    struct ci_config *config = ci_config_get();
    unsigned int all = config == NULL ? 0 : percent_of(config, device);
    for (int i = 0; all > 0 && i < device->count; i++) {
        struct ci_share *share = &config->shares[device->shares[i]];
        ci_region_spend(&share->region, gpu_ns * (int64_t)share->limits.core_percent / (int64_t)all);
    }
}

static bool is_capturing(const struct ci_launch *launch)
{
    ci_pfn_cuStreamIsCapturing real =
        launch->per_thread ? CI_CALL(cuStreamIsCapturing_ptsz) : CI_CALL(cuStreamIsCapturing);
    CUstreamCaptureStatus status = CAPTURE_NONE;
    /* an error means that some capture forbids the question: leave it alone */
    return real != NULL && (real(launch->stream, &status) != CUDA_SUCCESS || status != CAPTURE_NONE);
}

/* Nothing is known of the first launches of a function: without a pause here a
 * program could queue minutes of work before the first of it has finished. */
static void wait_for_cost(const void *work)
{
    int64_t end = now_ns() + WINDOW_NS;
    ci_cost_harvest(spend);
    while (ci_cost_is_awaited(work) && now_ns() < end) {
        nanosleep(&(struct timespec){0, COST_PAUSE_NS}, NULL);
        ci_cost_harvest(spend);
    }
}

static void wait_for_budget(struct ci_config *config, const struct ci_device *device, unsigned int percent)
{
    int64_t start = now_ns();
    int64_t waited = 0;
    int64_t budget = balance(config, device);
    while (budget <= 0 && waited < WAIT_MAX_NS) {
        int64_t pause = -budget * 100 / (int64_t)percent + 1000;
        pause = pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
        nanosleep(&(struct timespec){0, pause}, NULL);
        ci_cost_harvest(spend);
        waited = now_ns() - start;
        budget = balance(config, device);
    }
    if (waited > 0)
        ci_region_count(&config->shares[device->shares[0]].region, HAMI_TOTAL_THROTTLED_NS, (uint64_t)waited);
}

void ci_gate_enter(struct ci_launch *launch)
{
    struct ci_config *config = ci_process_join();
    launch->counted = false;
    launch->sample = NULL;
    if (config == NULL || is_capturing(launch))
        return;
    struct ci_device device = ci_device_of_stream(config, launch->stream);
    unsigned int percent = percent_of(config, &device);
    if (percent == 0)
        return;
    wait_for_cost(launch->work);
    wait_for_budget(config, &device, percent);
    launch->counted = true;
    launch->sample = ci_cost_begin(launch);
}

void ci_gate_leave(struct ci_launch *launch, CUresult result)
{
    struct ci_config *config = ci_config_get();
    if (!launch->counted || config == NULL)
        return;
    if (result != CUDA_SUCCESS) {
        ci_cost_cancel(launch->sample);
        return;
    }
    struct ci_device device = ci_device_of_stream(config, launch->stream);
    int64_t estimate_ns = ci_cost_estimate(launch->work);
    spend(&device, estimate_ns);
    ci_cost_end(launch->sample, launch, &device, estimate_ns);
    ci_region_count(&config->shares[device.shares[0]].region, HAMI_TOTAL_LAUNCHES, 1);
}
