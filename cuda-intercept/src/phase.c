#include "phase.h"

#include <stdatomic.h>

#include "budget.h"

#define RECENTLY_NS 100000000ULL
#define LEEWAY_NS (CI_BUDGET_SLACK_NS / 2)

/* When this process last paid from each share. */
static _Atomic uint64_t used_ns[CI_MAX_SHARES];

void ci_phase_use(int share, uint64_t now_ns)
{
    atomic_store_explicit(&used_ns[share], now_ns, memory_order_relaxed);
}

static bool is_of(const struct ci_device *device, int share)
{
    for (int i = 0; i < device->count; i++)
        if (device->shares[i] == share)
            return true;
    return false;
}

uint64_t ci_phase_wait(const struct ci_config *config, const struct ci_device *device, int payer, uint64_t now_ns)
{
    uint64_t wait = 0;
    if (config->count == device->count || ci_budget_debt(&config->shares[payer].region, now_ns) > 0)
        return 0;
    for (int i = 0; i < config->count; i++) {
        uint64_t used = atomic_load_explicit(&used_ns[i], memory_order_relaxed);
        if (used + RECENTLY_NS < now_ns || is_of(device, i) || !ci_region_is_intact(&config->shares[i].region))
            continue;
        uint64_t debt = ci_budget_debt(&config->shares[i].region, now_ns);
        wait = debt > wait ? debt : wait;
    }
    uint64_t idle = ci_budget_idle(&config->shares[payer].region, now_ns);
    uint64_t leeway = idle < LEEWAY_NS ? LEEWAY_NS - idle : 0;
    return wait < leeway ? wait : leeway;
}
