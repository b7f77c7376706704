#define _GNU_SOURCE
#include "lane.h"

#include <pthread.h>
#include <stdlib.h>

#include "../include/share_env.h"
#include "budget.h"
#include "pid.h"

_Thread_local struct ci_lane *ci_lane;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* written once; only for its destructor */
static bool has_key;
static _Atomic uint32_t lanes;

static void end_thread(void *argument)
{
    struct ci_lane *lane = argument;
    if (lane->pid == ci_pid())
        for (int i = 0; i < CI_LANE_PURSES; i++)
            ci_purse_return(&lane->purses[i]);
    ci_lane = NULL;
    free(lane);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, end_thread) == 0;
}

static struct ci_lane *make(void)
{
    struct ci_lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return NULL;
    pthread_once(&once, make_key);
    if (has_key)
        pthread_setspecific(key, lane);
    return lane;
}

/* In a forked child what a parent's thread had is the parent's. */
static void begin(struct ci_lane *lane)
{
    uint32_t round = lane->round + 1;
    *lane = (struct ci_lane){.round = round, .pid = ci_pid(), .number = atomic_fetch_add(&lanes, 1)};
    lane->random = lane->pid * 2654435761u + lane->number * 40503u + 1;
}

struct ci_lane *ci_lane_get(void)
{
    if (ci_lane == NULL)
        ci_lane = make();
    if (ci_lane != NULL && ci_lane->pid != ci_pid())
        begin(ci_lane);
    return ci_lane;
}

uint32_t ci_lane_random(struct ci_lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 17;
    lane->random ^= lane->random << 5;
    return lane->random;
}

void ci_lane_forget(void)
{
    if (ci_lane != NULL)
        ci_lane->round++;
}

static bool is_same(const struct ci_device *one, const struct ci_device *other)
{
    if (one->access != other->access || one->ordinal != other->ordinal || one->count != other->count)
        return false;
    for (int i = 0; i < one->count; i++)
        if (one->shares[i] != other->shares[i])
            return false;
    return true;
}

struct ci_purse *ci_lane_purse(struct ci_lane *lane, const struct ci_device *device)
{
    for (int i = 0; i < CI_LANE_PURSES; i++) {
        struct ci_purse *purse = &lane->purses[i];
        if (purse->is_taken && is_same(&purse->device, device))
            return purse;
        if (!purse->is_taken) {
            *purse = (struct ci_purse){.device = *device, .is_taken = true};
            return purse;
        }
    }
    struct ci_purse *purse = &lane->purses[(unsigned int)device->ordinal % CI_LANE_PURSES];
    ci_purse_return(purse);
    lane->round++; /* no memo may spend from it for the other GPU */
    *purse = (struct ci_purse){.device = *device, .is_taken = true};
    return purse;
}

static struct ci_region *region_of(const struct ci_purse *purse)
{
    struct ci_config *config = ci_config_get();
    if (config == NULL || !purse->is_taken || !purse->is_limited || purse->percent == 0)
        return NULL;
    struct ci_region *region = &config->shares[purse->share].region;
    return ci_region_is_intact(region) ? region : NULL;
}

void ci_purse_tell(struct ci_purse *purse)
{
    struct ci_region *region = region_of(purse);
    if (region != NULL) {
        ci_budget_lease(region, purse->left_ns - purse->told_ns, purse->percent);
        ci_region_count(region, HAMI_TOTAL_LAUNCHES, purse->launches);
    }
    purse->told_ns = purse->left_ns;
    purse->launches = 0;
}

void ci_purse_return(struct ci_purse *purse)
{
    struct ci_region *region = region_of(purse);
    if (region != NULL && purse->left_ns > 0)
        ci_budget_settle(region, -purse->left_ns, purse->percent);
    purse->left_ns = 0;
    ci_purse_tell(purse);
}
