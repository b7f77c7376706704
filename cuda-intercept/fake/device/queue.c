#include "queue.h"

#include "clock.h"
#include "state.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#define WAKE_NS 20000ull
#define LIVENESS_NS 100000000ull

static void lock(struct fg_schedule *schedule)
{
    /* what a killed process left half done is at most one launch */
    if (pthread_mutex_lock(&schedule->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&schedule->lock);
    fg_schedule_advance(schedule, fg_state_channels(), fg_clock_now());
}

static void unlock(struct fg_schedule *schedule)
{
    pthread_mutex_unlock(&schedule->lock);
}

static struct fg_schedule *schedule_of(uint32_t channel)
{
    return fg_state_schedule(fg_state_channels()[channel].gpu);
}

/* Ends what processes left that were killed; a driver hears of that by itself. */
static void bury(unsigned gpu)
{
    struct fg_schedule *schedule = fg_state_schedule(gpu);
    struct fg_channel *channels = fg_state_channels();
    for (uint32_t i = 0; i < FG_MAX_CHANNELS; i++)
        if (channels[i].is_taken && channels[i].gpu == gpu && !fg_state_lives(channels[i].owner))
            fg_schedule_drop(schedule, channels, i);
}

uint32_t fg_queue_begin(unsigned gpu)
{
    struct fg_channel *channels = fg_state_channels();
    struct fg_schedule *schedule = fg_state_schedule(gpu);
    uint32_t found = FG_NOBODY;
    lock(schedule);
    bury(gpu);
    for (uint32_t i = 0; i < FG_MAX_CHANNELS && found == FG_NOBODY; i++) {
        uint32_t expected = 0; /* other GPUs take from the same channels */
        if (atomic_compare_exchange_strong((_Atomic uint32_t *)&channels[i].is_taken, &expected, 1))
            found = i;
    }
    if (found != FG_NOBODY) {
        struct fg_channel *channel = &channels[found];
        channel->gpu = gpu;
        channel->owner = fg_state_own_number();
        channel->queued_ns = channel->done_ns = 0;
        channel->recorded = channel->passed = 0;
        fg_schedule_add(schedule, channels, found);
    }
    unlock(schedule);
    return found;
}

void fg_queue_end(uint32_t channel)
{
    struct fg_schedule *schedule = schedule_of(channel);
    lock(schedule);
    fg_schedule_drop(schedule, fg_state_channels(), channel);
    unlock(schedule);
}

struct fg_mark fg_queue_launch(uint32_t channel, uint64_t duration_ns)
{
    struct fg_schedule *schedule = schedule_of(channel);
    lock(schedule);
    struct fg_mark mark = fg_schedule_launch(schedule, fg_state_channels(), channel, duration_ns);
    unlock(schedule);
    return mark;
}

static struct fg_mark enter(uint32_t channel, bool is_gate, uint64_t *reused_ns)
{
    struct fg_schedule *schedule = schedule_of(channel);
    struct fg_channel *queue = &fg_state_channels()[channel];
    for (;;) {
        lock(schedule);
        *reused_ns = queue->entries[queue->recorded % FG_ENTRIES].stamp_ns;
        bool entered = fg_schedule_enter(schedule, fg_state_channels(), channel, is_gate);
        struct fg_mark mark = {queue->queued_ns, queue->recorded};
        struct fg_mark oldest = {0, queue->passed + 1};
        unlock(schedule);
        if (entered)
            return mark;
        fg_queue_wait(channel, oldest);
    }
}

struct fg_mark fg_queue_event(uint32_t channel, uint64_t *reused_ns)
{
    return enter(channel, false, reused_ns);
}

struct fg_mark fg_queue_gate(uint32_t channel)
{
    uint64_t reused_ns;
    return enter(channel, true, &reused_ns);
}

void fg_queue_open(uint32_t channel, struct fg_mark gate)
{
    struct fg_schedule *schedule = schedule_of(channel);
    lock(schedule);
    fg_schedule_open(schedule, fg_state_channels(), channel, gate.entries - 1);
    unlock(schedule);
}

bool fg_queue_reached(uint32_t channel, struct fg_mark mark)
{
    struct fg_schedule *schedule = schedule_of(channel);
    lock(schedule);
    bool reached = fg_channel_reached(&fg_state_channels()[channel], mark);
    unlock(schedule);
    return reached;
}

/* The earliest end is too early where others come in between: then look again. */
void fg_queue_wait(uint32_t channel, struct fg_mark mark)
{
    struct fg_schedule *schedule = schedule_of(channel);
    const struct fg_channel *channels = fg_state_channels();
    uint64_t checked_ns = 0;
    for (;;) {
        lock(schedule);
        if (schedule->at_ns - checked_ns > LIVENESS_NS) {
            bury(channels[channel].gpu);
            checked_ns = schedule->at_ns;
        }
        bool reached = fg_channel_reached(&channels[channel], mark);
        uint64_t until_ns = fg_schedule_earliest(schedule, channels, channel, mark);
        uint64_t soonest_ns = schedule->at_ns + WAKE_NS;
        unlock(schedule);
        if (reached)
            return;
        fg_clock_wait(until_ns > soonest_ns ? until_ns : soonest_ns);
    }
}

uint64_t fg_queue_stamp(uint32_t channel, struct fg_mark event)
{
    struct fg_schedule *schedule = schedule_of(channel);
    const struct fg_channel *queue = &fg_state_channels()[channel];
    lock(schedule);
    bool passed = queue->passed >= event.entries;
    uint64_t stamp_ns = passed ? queue->entries[(event.entries - 1) % FG_ENTRIES].stamp_ns : 0;
    unlock(schedule);
    return stamp_ns;
}

/* A reader without write permission sees what the last writer left. */
const struct fg_schedule *fg_queue_hold(unsigned gpu)
{
    struct fg_schedule *schedule = fg_state_schedule(gpu);
    if (fg_state_is_writable()) {
        lock(schedule);
        bury(gpu);
    }
    return schedule;
}

void fg_queue_release(unsigned gpu)
{
    if (fg_state_is_writable())
        unlock(fg_state_schedule(gpu));
}

unsigned fg_queue_busy_percent(unsigned gpu)
{
    const struct fg_schedule *schedule = fg_queue_hold(gpu);
    unsigned percent = fg_meter_percent(&schedule->meter, &schedule->meter, 0);
    fg_queue_release(gpu);
    return percent;
}
