#include "terms.h"

#include "../include/share_env.h"
#include "budget.h"
#include "config.h"

#define WHOLE_PERCENT 100

bool ci_terms_limit(const struct ci_limits *limits)
{
    bool cores = limits->core_percent > 0 && limits->core_percent < WHOLE_PERCENT;
    return limits->has_priority || (cores && limits->core_limit != CI_CORES_NONE);
}

static unsigned int own_percent(const struct ci_limits *limits, bool may_use_idle_time)
{
    bool free = limits->core_limit == CI_CORES_NONE || limits->core_percent == 0 ||
                limits->core_percent >= WHOLE_PERCENT ||
                (limits->core_limit == CI_CORES_SOFT && may_use_idle_time);
    return free ? CI_BUDGET_WHOLE_PERCENT : limits->core_percent;
}

/* The order matters: what is stale may tighten, and loosens nothing. */
struct ci_terms ci_terms_of(const struct ci_limits *limits, const unsigned char *node, uint64_t now_ns)
{
    struct ci_node page;
    struct ci_terms terms = {.percent = own_percent(limits, false), .correction = HAMI_CORRECTION_ONE};
    if (!ci_node_read(node, &page))
        return terms;
    bool fresh = page.heartbeat_ns <= now_ns && now_ns - page.heartbeat_ns < HAMI_NODE_STALE_NS;
    if (page.correction >= HAMI_CORRECTION_MIN && page.correction <= HAMI_CORRECTION_MAX)
        terms.correction = page.correction;
    /* what goes far up is for the least of measurements, of which nobody says any more how far it is off */
    terms.by_mean = !fresh && terms.correction > HAMI_CORRECTION_USUAL_MAX;
    if (terms.by_mean || (!fresh && terms.correction < HAMI_CORRECTION_ONE))
        terms.correction = HAMI_CORRECTION_ONE;
    terms.percent = own_percent(limits, fresh && page.others == HAMI_OTHERS_IDLE);
    terms.is_shared = fresh && page.others == HAMI_OTHERS_BUSY;
    if (page.gate == HAMI_GATE_CLOSED && terms.percent > HAMI_GATE_FLOOR_PERCENT)
        terms.percent = HAMI_GATE_FLOOR_PERCENT;
    return terms;
}
