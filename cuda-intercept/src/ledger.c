#define _GNU_SOURCE
#include "ledger.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "../include/share_env.h"

#define SPLIT_TRIES 4
#define SWEEP_PERIOD_NS 200000000ULL

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static bool concerns(const struct ci_limits *limits, const unsigned char *uuid, int ordinal)
{
    if (limits->ordinal != CI_ANY_DEVICE)
        return limits->ordinal == ordinal;
    return memcmp(limits->uuid, uuid, CI_UUID_BYTES) == 0;
}

struct ci_device ci_device_find(const struct ci_config *config, const unsigned char uuid[CI_UUID_BYTES], int ordinal)
{
    struct ci_device device = {.access = CI_ACCESS_SHARED, .ordinal = ordinal};
    for (int i = 0; i < config->count && device.count < CI_MAX_PARTS; i++)
        if (concerns(&config->shares[i].limits, uuid, ordinal))
            device.shares[device.count++] = i;
    if (device.count == 0)
        device.access = config->mode == CI_MODE_FILES ? CI_ACCESS_CLOSED : CI_ACCESS_FREE;
    return device;
}

/* The limit less what NVML sees on the share beyond its ledger. */
static uint64_t usable_limit(const struct ci_share *share)
{
    uint64_t limit = share->limits.memory_bytes;
    uint64_t unledgered = ci_node_unledgered(share->node);
    return limit == CI_NO_LIMIT ? limit : limit - (unledgered < limit ? unledgered : limit);
}

static uint64_t room(const struct ci_share *share)
{
    uint64_t limit = usable_limit(share);
    uint64_t used = ci_region_total(&share->region, HAMI_TOTAL_CHARGED);
    return ci_region_is_intact(&share->region) && used < limit ? limit - used : 0;
}

/* One pass in the order of the shares: each takes what it has room for. */
static bool reserve_once(struct ci_config *config, const struct ci_device *device, uint64_t bytes,
                         struct ci_charge *charge)
{
    uint64_t left = bytes;
    charge->count = 0;
    for (int i = 0; i < device->count && left > 0; i++) {
        struct ci_share *share = &config->shares[device->shares[i]];
        uint64_t available = room(share);
        uint64_t part = left < available ? left : available;
        if (part == 0 || !ci_region_reserve(&share->region, charge->kind, part, usable_limit(share)))
            continue;
        charge->parts[charge->count++] = (struct ci_part){device->shares[i], part};
        left -= part;
    }
    if (left == 0)
        return true;
    ci_ledger_credit(config, charge);
    charge->count = 0;
    return false;
}

static bool has_room(const struct ci_config *config, const struct ci_device *device, uint64_t bytes)
{
    uint64_t left = bytes;
    for (int i = 0; i < device->count && left > 0; i++) {
        uint64_t available = room(&config->shares[device->shares[i]]);
        left -= left < available ? left : available;
    }
    return left == 0;
}

void ci_ledger_sweep(struct ci_config *config, const struct ci_device *device)
{
    for (int i = 0; i < device->count; i++) {
        struct ci_region *region = &config->shares[device->shares[i]].region;
        if (ci_region_is_ready(region))
            ci_region_sweep(region);
    }
}

/* Marks the shares as just used, and now and then looks for the dead, so that
 * what they held comes back even while nobody runs into the limit. */
static void touch(struct ci_config *config, const struct ci_device *device)
{
    static _Atomic uint64_t last_sweep;
    uint64_t now = now_ns();
    for (int i = 0; i < device->count; i++) {
        struct ci_region *region = &config->shares[device->shares[i]].region;
        if (ci_region_is_intact(region))
            ci_region_set(region, HAMI_TOTAL_LAST_ACTIVITY_NS, now);
    }
    uint64_t last = atomic_load(&last_sweep);
    if (now - last > SWEEP_PERIOD_NS && atomic_compare_exchange_strong(&last_sweep, &last, now))
        ci_ledger_sweep(config, device);
}

bool ci_ledger_reserve(struct ci_config *config, const struct ci_device *device, int kind, uint64_t bytes,
                       struct ci_charge *charge)
{
    *charge = (struct ci_charge){.kind = kind};
    touch(config, device);
    /* Two processes that split the same shares can each take what the other
     * needs and both give up: whoever then sees room for all of it tries again. */
    for (int i = 0; i < SPLIT_TRIES; i++) {
        if (reserve_once(config, device, bytes, charge))
            return true;
        ci_ledger_sweep(config, device);
        if (!has_room(config, device, bytes))
            break;
    }
    for (int i = 0; i < device->count; i++)
        ci_region_count(&config->shares[device->shares[i]].region, HAMI_TOTAL_DENIED, 1);
    return false;
}

void ci_ledger_force(struct ci_config *config, const struct ci_device *device, int kind, uint64_t bytes,
                     struct ci_charge *charge)
{
    *charge = (struct ci_charge){.kind = kind};
    if (bytes == 0 || reserve_once(config, device, bytes, charge))
        return;
    for (int i = 0; i < device->count; i++) {
        int share = device->shares[i];
        if (!ci_region_reserve(&config->shares[share].region, kind, bytes, CI_NO_LIMIT))
            continue;
        charge->parts[charge->count++] = (struct ci_part){share, bytes};
        return;
    }
}

bool ci_ledger_is_usable(const struct ci_config *config, const struct ci_device *device)
{
    for (int i = 0; i < device->count; i++)
        if (ci_region_is_intact(&config->shares[device->shares[i]].region))
            return true;
    return false;
}

uint64_t ci_ledger_own(const struct ci_config *config, const struct ci_device *device)
{
    uint64_t sum = 0;
    for (int i = 0; i < device->count; i++)
        sum += ci_region_own(&config->shares[device->shares[i]].region);
    return sum;
}

void ci_ledger_credit(struct ci_config *config, const struct ci_charge *charge)
{
    for (int i = 0; i < charge->count; i++)
        ci_region_credit(&config->shares[charge->parts[i].share].region, charge->kind, charge->parts[i].bytes);
}

struct ci_memory ci_ledger_report(struct ci_config *config, const struct ci_device *device, struct ci_memory physical)
{
    if (device->access == CI_ACCESS_FREE || device->access == CI_ACCESS_UNKNOWN)
        return physical;
    if (device->access == CI_ACCESS_CLOSED)
        return (struct ci_memory){physical.total, physical.total, 0};
    struct ci_memory sum = {0};
    touch(config, device);
    for (int i = 0; i < device->count; i++) {
        const struct ci_share *share = &config->shares[device->shares[i]];
        uint64_t limit = share->limits.memory_bytes;
        if (limit == CI_NO_LIMIT)
            return physical;
        uint64_t used = ci_region_total(&share->region, HAMI_TOTAL_CHARGED) + ci_node_unledgered(share->node);
        sum.total += limit;
        sum.used += share->region.base == NULL || used > limit ? limit : used;
    }
    /* a share may be a little larger than what the driver calls the total */
    sum.total = sum.total < physical.total ? sum.total : physical.total;
    sum.used = sum.used < sum.total ? sum.used : sum.total;
    sum.free = sum.total - sum.used < physical.free ? sum.total - sum.used : physical.free;
    return sum;
}
