#define _GNU_SOURCE
#include "budget.h"

#include <time.h>

#include "region_layout.h"

/* A month: hours on the GPU at 1 % are less. Beyond it the word is damage, not debt. */
#define DEBT_MAX_NS 2592000000000000ULL
#define LEASE_MAX_NS 10000000000LL  /* nor can a process have so much unused */
#define HUNDRED 100

struct moment {
    _Atomic uint64_t at_ns;
    _Atomic uint64_t gpu_ns;
};

static struct moment *history(const struct ci_region *region)
{
    return (struct moment *)(void *)(region->base + HAMI_USAGE_OFFSET_HISTORY);
}

_Static_assert(HAMI_USAGE_OFFSET_HISTORY >= HAMI_USAGE_HEADER_BYTES + 8 * HAMI_TOTAL_COUNT, "history behind totals");
_Static_assert(HAMI_USAGE_OFFSET_HISTORY + HAMI_HISTORY_COUNT * sizeof(struct moment) <= HAMI_USAGE_OFFSET_HIGH_WATER,
               "history before notes");

static int64_t wall_ns(int64_t gpu_ns, unsigned int percent)
{
    return gpu_ns / percent * HUNDRED + gpu_ns % percent * HUNDRED / percent;
}

static _Atomic uint64_t *paid_until(const struct ci_region *region)
{
    return ci_total(region, HAMI_TOTAL_PAID_UNTIL_NS);
}

static void count(struct ci_region *region, int64_t gpu_ns)
{
    _Atomic uint64_t *total = ci_total(region, HAMI_TOTAL_GPU_NS);
    if (gpu_ns >= 0)
        atomic_fetch_add(total, (uint64_t)gpu_ns);
    else
        ci_subtract(total, (uint64_t)-gpu_ns);
}

/* Eight times a second somebody writes down how far the share has come. */
static void remember(struct ci_region *region, uint64_t now_ns)
{
    struct moment *moment = &history(region)[now_ns / HAMI_HISTORY_STEP_NS % HAMI_HISTORY_COUNT];
    uint64_t old = atomic_load_explicit(&moment->at_ns, memory_order_relaxed);
    if (now_ns - old < HAMI_HISTORY_STEP_NS || !atomic_compare_exchange_strong(&moment->at_ns, &old, now_ns))
        return;
    atomic_store(&moment->gpu_ns, atomic_load(ci_total(region, HAMI_TOTAL_GPU_NS)));
}

uint64_t ci_budget_take(struct ci_region *region, int64_t gpu_ns, unsigned int percent, uint64_t now_ns)
{
    _Atomic uint64_t *word = paid_until(region);
    uint64_t until = atomic_load(word);
    uint64_t next;
    do {
        if (until > now_ns && until - now_ns <= DEBT_MAX_NS)
            return until - now_ns;
        bool is_late = until > now_ns || now_ns - until > CI_BUDGET_SLACK_NS;
        uint64_t from = is_late ? now_ns - CI_BUDGET_SLACK_NS : until;
        next = from + (uint64_t)wall_ns(gpu_ns, percent);
    } while (!atomic_compare_exchange_weak(word, &until, next));
    int64_t left = next > now_ns ? -(int64_t)(next - now_ns) : (int64_t)(now_ns - next);
    atomic_store(ci_total(region, HAMI_TOTAL_BUDGET_NS), (uint64_t)(left / HUNDRED * (int64_t)percent));
    remember(region, now_ns);
    count(region, gpu_ns);
    return 0;
}

void ci_budget_settle(struct ci_region *region, int64_t gpu_ns, unsigned int percent)
{
    int64_t moved = wall_ns(gpu_ns, percent);
    if (moved >= 0)
        atomic_fetch_add(paid_until(region), (uint64_t)moved);
    else
        ci_subtract(paid_until(region), (uint64_t)-moved);
    count(region, gpu_ns);
}

uint64_t ci_budget_debt(const struct ci_region *region, uint64_t now_ns)
{
    uint64_t until = atomic_load(paid_until(region));
    return until > now_ns && until - now_ns <= DEBT_MAX_NS ? until - now_ns : 0;
}

uint64_t ci_budget_idle(const struct ci_region *region, uint64_t now_ns)
{
    uint64_t until = atomic_load(paid_until(region));
    if (until >= now_ns)
        return 0;
    return now_ns - until < CI_BUDGET_SLACK_NS ? now_ns - until : CI_BUDGET_SLACK_NS;
}

static struct ci_slot *own_slot(struct ci_region *region)
{
    return region->slot == CI_NO_SLOT ? NULL : ci_slot(region, region->slot);
}

void ci_budget_lease(struct ci_region *region, int64_t gpu_ns, unsigned int percent)
{
    struct ci_slot *slot = own_slot(region);
    if (slot != NULL)
        atomic_fetch_add(&slot->leased_ns, wall_ns(gpu_ns, percent));
}

void ci_budget_run(struct ci_region *region, uint64_t until_ns, unsigned int percent)
{
    struct ci_slot *slot = own_slot(region);
    if (slot == NULL)
        return;
    atomic_store(&slot->busy_percent, percent);
    atomic_store(&slot->busy_until_ns, until_ns);
}

void ci_budget_ran(struct ci_region *region, uint64_t until_ns)
{
    struct ci_slot *slot = own_slot(region);
    if (slot != NULL && until_ns > 0)
        atomic_compare_exchange_strong(&slot->busy_until_ns, &until_ns, 0);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* The driver ends what a dead process had running, so what was paid ahead for it
 * is the others' again. */
void ci_budget_reclaim(struct ci_region *region, struct ci_slot *slot)
{
    int64_t leased = atomic_exchange(&slot->leased_ns, 0);
    uint64_t until = atomic_exchange(&slot->busy_until_ns, 0);
    unsigned int percent = atomic_exchange(&slot->busy_percent, 0);
    uint64_t now = clock_ns();
    int64_t unused = leased > 0 && leased <= LEASE_MAX_NS ? leased : 0;
    if (until > now && until - now <= DEBT_MAX_NS && percent > 0 && percent <= CI_BUDGET_WHOLE_PERCENT)
        unused += wall_ns((int64_t)(until - now), percent);
    uint64_t debt = ci_budget_debt(region, now) + CI_BUDGET_SLACK_NS;
    ci_subtract(paid_until(region), (uint64_t)unused < debt ? (uint64_t)unused : debt);
}

uint32_t ci_budget_turn(struct ci_region *region, uint32_t taker)
{
    struct ci_notes *notes = ci_notes(region);
    if (atomic_load_explicit(&notes->taker, memory_order_relaxed) == taker)
        return atomic_load(&notes->turns);
    atomic_store(&notes->taker, taker);
    return atomic_fetch_add(&notes->turns, 1) + 1;
}

uint32_t ci_budget_turns(const struct ci_region *region)
{
    return atomic_load(&ci_notes(region)->turns);
}

unsigned int ci_budget_used_percent(const struct ci_region *region, uint64_t now_ns)
{
    uint64_t wanted = now_ns - 8 * HAMI_HISTORY_STEP_NS;
    uint64_t total = atomic_load(ci_total(region, HAMI_TOTAL_GPU_NS));
    uint64_t at = 0;
    uint64_t gpu = 0;
    for (int i = 0; i < HAMI_HISTORY_COUNT; i++) { /* the latest of those that are old enough */
        uint64_t found = atomic_load(&history(region)[i].at_ns);
        if (found > at && found <= wanted) {
            at = found;
            gpu = atomic_load(&history(region)[i].gpu_ns);
        }
    }
    if (at == 0 || total < gpu || now_ns - at > 16ULL * HAMI_HISTORY_COUNT * HAMI_HISTORY_STEP_NS)
        return 0;
    uint64_t percent = (total - gpu) * HUNDRED / (now_ns - at);
    return percent < HUNDRED ? (unsigned int)percent : HUNDRED;
}
