/*
 * Where a launch's thread does not know enough or has no budget left: finds out
 * what the launch costs, takes budget for it and some more, and waits for that.
 */
#define _GNU_SOURCE
#include "gate.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../include/share_env.h"
#include "budget.h"
#include "cost.h"
#include "cuda_device.h"
#include "phase.h"
#include "pid.h"
#include "process.h"
#include "resolve.h"
#include "sample.h"
#include "terms.h"

#define LEASE_NS 500000LL       /* what a thread takes ahead */
#define FIRST_NS 100000LL       /* the charge for what was never measured, until it is */
#define FIRST_WAIT_NS 1000000000ULL
#define FIRST_PAUSE_NS 100000L
#define FREE_NS (INT64_MAX / 4) /* in the purse of a GPU without limit */
#define NAP_MAX_NS 10000000ULL  /* then the node page is looked at again */
#define LONG_NS 1000000LL       /* launches worth measuring each time */
#define SHORT_NS 100000LL
/* Launches may come so much before their time, so that the GPU has something to do until a
 * thread that waited has woken up. All of them: a long one that might not would wait for ever
 * beside short ones, which never let that time come. */
#define AHEAD_NS 4000000ULL
#define TURNS_NS 2000000000ULL
#define SHORT_SAMPLED 2 /* of the look-ups of short launches, one in so many measures as well */

_Atomic int ci_gate_is_on;
_Atomic int ci_captures;

bool ci_gate_is_set(void)
{
    const struct ci_config *config = ci_config_get();
    return config != NULL && config->gated;
}

void *ci_gate_begin(enum ci_symbol symbol, _Atomic(void *) *known)
{
    void *real = ci_real(symbol);
    if (real == NULL || ci_config_get() == NULL) /* out of memory: open, for now */
        return real;
    atomic_store(&ci_gate_is_on, ci_gate_is_set());
    atomic_store_explicit(known, real, memory_order_release);
    return real;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Not nanosleep(): a thread may be cancelled there, and no program takes a launch for such a place. */
static void nap(uint64_t ns)
{
    syscall(SYS_nanosleep, &(struct timespec){0, (long)ns}, NULL);
}

static int64_t corrected(int64_t gpu_ns, uint32_t correction)
{
    return gpu_ns / HAMI_CORRECTION_ONE * correction + gpu_ns % HAMI_CORRECTION_ONE * correction / HAMI_CORRECTION_ONE;
}

/* A ledger that is out of order closes memory, never launches. */
static bool is_limited(const struct ci_config *config, const struct ci_device *device)
{
    for (int i = 0; i < device->count; i++) {
        const struct ci_share *share = &config->shares[device->shares[i]];
        if (!ci_terms_limit(&share->limits) || !ci_region_is_intact(&share->region))
            return false;
    }
    return device->count > 0;
}

static bool is_capturing(const struct ci_launch *launch)
{
    ci_pfn_cuStreamIsCapturing real =
        launch->per_thread ? CI_CALL(cuStreamIsCapturing_ptsz) : CI_CALL(cuStreamIsCapturing);
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    /* an error means that some capture forbids the question: leave it alone */
    return real != NULL &&
           (real(launch->stream, &status) != CUDA_SUCCESS || status != CU_STREAM_CAPTURE_STATUS_NONE);
}

static void settle(const struct ci_measurement *measured, uint32_t turn)
{
    struct ci_config *config = ci_config_get();
    struct ci_region *region = &config->shares[measured->share].region;
    if (!ci_region_is_intact(region))
        return;
    ci_budget_ran(region, measured->busy_until_ns);
    bool is_shared = !measured->by_mean && (measured->is_shared || ci_budget_turns(region) != turn);
    enum ci_time time = is_shared ? CI_TIME_SHARED : measured->is_rough ? CI_TIME_ROUGH : CI_TIME_EXACT;
    bool is_old = measured->age != ci_handles_age(measured->is_graph); /* it may be of another by that handle */
    int64_t cost = is_old && ci_cost_is_open(measured->work, measured->threads)
                       ? measured->gpu_ns
                       : ci_cost_learn(measured->work, measured->threads, measured->gpu_ns, time);
    if (cost <= 0)
        return;
    if (is_shared) {
        ci_region_count(region, HAMI_TOTAL_MEASURED_NS, (uint64_t)measured->gpu_ns);
        ci_region_count(region, HAMI_TOTAL_TAKEN_NS, (uint64_t)cost);
    }
    ci_budget_settle(region, corrected(cost, measured->correction) - measured->paid_ns, measured->percent);
}

void ci_gate_settle(void)
{
    ci_sample_harvest(settle);
}

/* A graph is of certain GPUs. */
static const void *work_on(const struct ci_launch *launch, const struct ci_device *device)
{
    return launch->is_graph ? launch->work : ci_cost_work(launch->work, device->ordinal);
}

/* Nothing is known of the first launch of a function until it has run: without a
 * pause a program could queue minutes of work meanwhile. */
static struct ci_cost find_cost(const void *work, uint64_t threads)
{
    struct ci_cost cost = ci_cost_find(work, threads);
    uint64_t end = 0;
    while (cost.gpu_ns == 0 && ci_sample_is_awaited(work)) {
        uint64_t now = now_ns();
        end = end == 0 ? now + FIRST_WAIT_NS : end;
        if (now >= end)
            break;
        nap(FIRST_PAUSE_NS);
        ci_sample_harvest(settle);
        cost = ci_cost_find(work, threads);
    }
    return cost.gpu_ns > 0 ? cost : (struct ci_cost){.gpu_ns = FIRST_NS};
}

/* Of several shares of a GPU, the one that can pay first. */
static int find_payer(const struct ci_config *config, const struct ci_device *device, uint64_t now)
{
    int best = device->shares[0];
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < device->count; i++) {
        const struct ci_region *region = &config->shares[device->shares[i]].region;
        uint64_t debt = ci_budget_debt(region, now) + CI_BUDGET_SLACK_NS - ci_budget_idle(region, now);
        if (debt < least)
            best = device->shares[i];
        least = debt < least ? debt : least;
    }
    return best;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* When this process last found that another had paid in between, and when the time before, by share. */
static struct {
    _Atomic uint64_t last_ns;
    _Atomic uint64_t before_ns;
} turned[CI_MAX_SHARES];

/* Several in a row that are one's own do not mean that the others have ended: what is charged would
 * change between the mean and the least of what is measured, and the correction is for one of them. */
static bool takes_turns(int share, bool has_turned, uint64_t now)
{
    if (has_turned)
        atomic_store(&turned[share].before_ns, atomic_exchange(&turned[share].last_ns, now));
    return has_turned || now - atomic_load(&turned[share].before_ns) < TURNS_NS;
}

/* One try: takes the budget for the launch and a lease, or tells how long to wait. */
static uint64_t try_to_pay(struct ci_config *config, struct ci_lane *lane, struct ci_launch *launch,
                           struct ci_measurement *measured)
{
    struct ci_purse *purse = launch->purse;
    uint64_t now = now_ns();
    int payer = find_payer(config, &purse->device, now);
    struct ci_share *share = &config->shares[payer];
    struct ci_region *region = &share->region;
    struct ci_terms terms = ci_terms_of(&share->limits, share->node, now);
    ci_region_set(region, HAMI_TOTAL_LAST_ACTIVITY_NS, now);
    launch->cost_ns = corrected(measured->paid_ns, terms.correction);
    int64_t amount = larger(launch->cost_ns, LEASE_NS);
    uint32_t turns = ci_budget_turns(region);
    uint64_t wait = ci_phase_wait(config, &purse->device, payer, now + AHEAD_NS);
    if (wait == 0)
        wait = ci_budget_take(region, amount, terms.percent, now + AHEAD_NS);
    if (wait > 0)
        return wait;
    purse->share = payer;
    purse->percent = terms.percent;
    purse->correction = terms.correction;
    purse->left_ns = amount;
    purse->turn = ci_budget_turn(region, (uint32_t)region->slot << 16 ^ lane->number);
    purse->by_mean = terms.by_mean;
    purse->is_shared = takes_turns(payer, turns != purse->turn, now) || terms.is_shared;
    if (launch->cost_ns > LEASE_NS) {
        launch->busy_until_ns = now + (uint64_t)launch->cost_ns;
        ci_budget_run(region, launch->busy_until_ns, terms.percent);
    }
    ci_phase_use(payer, now);
    return 0;
}

/* Several that wait for the same share all wake when its time has come: those
 * that were too late spread out. */
static uint64_t nap_length(struct ci_lane *lane, uint64_t wait, bool was_late)
{
    uint64_t length = wait < NAP_MAX_NS ? wait : NAP_MAX_NS;
    return was_late ? length + ci_lane_random(lane) % (length + 1) : length;
}

static void pay(struct ci_config *config, struct ci_lane *lane, struct ci_launch *launch, int64_t gpu_ns)
{
    struct ci_purse *purse = launch->purse;
    struct ci_measurement measured = {.paid_ns = gpu_ns};
    uint64_t start = 0;
    launch->cost_ns = corrected(gpu_ns, purse->correction);
    if (purse->left_ns < launch->cost_ns || purse->percent == 0) {
        ci_purse_return(purse);
        uint64_t wait = try_to_pay(config, lane, launch, &measured);
        for (bool was_late = false; wait > 0; was_late = wait < NAP_MAX_NS) {
            start = start == 0 ? now_ns() : start;
            nap(nap_length(lane, wait, was_late));
            if (wait >= NAP_MAX_NS) /* what it waits for may be what a killed process owed */
                ci_ledger_sweep(config, &purse->device);
            ci_sample_harvest(settle);
            wait = try_to_pay(config, lane, launch, &measured);
        }
    }
    purse->left_ns -= launch->cost_ns;
    purse->launches++;
    ci_purse_tell(purse);
    if (start > 0)
        ci_region_count(&config->shares[purse->share].region, HAMI_TOTAL_THROTTLED_NS, now_ns() - start);
}

/* Random, so that no pattern of the program's launches hides from the samples. */
static uint32_t uses_until_next_look(struct ci_lane *lane, const struct ci_cost *cost)
{
    if (cost->gpu_ns >= LONG_NS)
        return 0;
    if (cost->gpu_ns >= SHORT_NS || !cost->is_sure)
        return 2 + ci_lane_random(lane) % 8;
    return cost->varies ? 16 + ci_lane_random(lane) % 32 : 128 + ci_lane_random(lane) % 256;
}

static void remember(struct ci_lane *lane, const struct ci_launch *launch, uint32_t uses)
{
    *ci_lane_memo(lane, launch->work, ci_stream_key(launch), launch->threads) = (struct ci_memo){
        .work = launch->work,
        .stream = ci_stream_key(launch),
        .threads = launch->threads,
        .cost_ns = launch->cost_ns,
        .purse = launch->purse,
        .age = launch->age,
        .round = lane->round,
        .uses_left = uses,
    };
}

/* Whether the cost is to be looked up again; else one use less is left. */
static bool is_due(struct ci_lane *lane, const struct ci_launch *launch)
{
    struct ci_memo *memo = ci_lane_memo(lane, launch->work, ci_stream_key(launch), launch->threads);
    if (memo->work != launch->work || memo->threads != launch->threads || memo->uses_left == 0)
        return true;
    memo->uses_left--;
    return false;
}

static _Atomic uint32_t measuring_pid;

/* What ran until the program's end is charged as well: brief programs, which launch nothing
 * twice, would otherwise pay for nothing. A forked child that ends has measured nothing. */
static void settle_at_exit(void)
{
    if (atomic_load(&measuring_pid) == ci_pid())
        ci_gate_settle();
}

static void register_exit(void)
{
    atexit(settle_at_exit); /* after the driver's own, hence before it */
}

static struct ci_sample *begin_sample(const struct ci_launch *launch)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const struct ci_purse *purse = launch->purse;
    const struct ci_measurement expected = {
        .work = work_on(launch, &purse->device),
        .threads = launch->threads,
        .is_graph = launch->is_graph,
        .age = launch->age,
        .is_shared = purse->is_shared,
        .by_mean = purse->by_mean,
        .share = purse->share,
        .percent = purse->percent,
        .correction = purse->correction,
        .paid_ns = launch->cost_ns,
        .busy_until_ns = launch->busy_until_ns,
    };
    atomic_store_explicit(&measuring_pid, ci_pid(), memory_order_relaxed);
    pthread_once(&once, register_exit);
    return ci_sample_begin(launch, &expected, purse->turn);
}

void ci_gate_measure(struct ci_launch *parts, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        if (parts[i].is_to_measure)
            parts[i].sample = begin_sample(&parts[i]);
}

void ci_gate_enter_slowly(struct ci_launch *launch)
{
    struct ci_config *config = ci_process_join();
    struct ci_lane *lane = ci_lane_get();
    launch->purse = NULL;
    launch->sample = NULL;
    launch->cost_ns = 0;
    launch->busy_until_ns = 0;
    launch->age = ci_launch_age(launch);
    if (config == NULL || lane == NULL)
        return;
    if (atomic_load(&ci_captures) > 0 && is_capturing(launch))
        return;
    struct ci_device device = ci_device_of_stream(config, launch->stream);
    launch->purse = ci_lane_purse(lane, &device);
    if (!is_limited(config, &device)) {
        launch->purse->left_ns = FREE_NS;
        launch->purse->is_limited = false;
        remember(lane, launch, uses_until_next_look(lane, &(struct ci_cost){.is_known = true, .is_sure = true}));
        return;
    }
    if (!launch->purse->is_limited)
        launch->purse->left_ns = launch->purse->told_ns = 0;
    launch->purse->is_limited = true;
    ci_sample_harvest(settle);
    struct ci_cost cost = find_cost(work_on(launch, &device), launch->threads);
    bool is_to_look_up = is_due(lane, launch);
    pay(config, lane, launch, cost.gpu_ns);
    cost.gpu_ns = larger(cost.gpu_ns, launch->cost_ns); /* far from the least, as NVML saw it: then it varies */
    bool is_to_measure = !cost.is_sure || cost.varies || ci_lane_random(lane) % SHORT_SAMPLED == 0;
    launch->is_to_measure = !cost.is_known || cost.gpu_ns >= SHORT_NS || (is_to_look_up && is_to_measure);
    if (launch->is_to_measure && !launch->is_part)
        launch->sample = begin_sample(launch);
    if (is_to_look_up && cost.is_known) /* what is only guessed is looked up each time */
        remember(lane, launch, uses_until_next_look(lane, &cost));
}

void ci_gate_leave_slowly(struct ci_launch *launch, CUresult result)
{
    if (launch->sample != NULL)
        ci_sample_end(launch->sample, launch, result == CUDA_SUCCESS);
    if (result == CUDA_SUCCESS || launch->purse == NULL || !launch->purse->is_limited)
        return;
    ci_budget_ran(&ci_config_get()->shares[launch->purse->share].region, launch->busy_until_ns);
    launch->purse->left_ns += launch->cost_ns;
    if (launch->purse->left_ns > 2 * LEASE_NS)
        ci_purse_return(launch->purse);
}

void ci_gate_reset(void)
{
    ci_sample_reset();
    atomic_store(&ci_captures, 0);
}
