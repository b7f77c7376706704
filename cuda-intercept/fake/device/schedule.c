#include "schedule.h"

#include <string.h>

#define GATE_POLL_NS 200000ull
#define MAX_OVERDUE_SAMPLES (FG_SAMPLES + 2)

static void put(struct fg_set *set, uint32_t member)
{
    set->words[member / 64] |= 1ull << member % 64;
}

static void take(struct fg_set *set, uint32_t member)
{
    set->words[member / 64] &= ~(1ull << member % 64);
}

static bool has(const struct fg_set *set, uint32_t member)
{
    return set->words[member / 64] >> member % 64 & 1;
}

/* The first member at or after `from`, or FG_NOBODY. */
static uint32_t find(const struct fg_set *set, uint32_t from)
{
    for (uint32_t word = from / 64; word < FG_MAX_CHANNELS / 64; word++) {
        uint64_t bits = set->words[word];
        if (word == from / 64)
            bits &= ~0ull << from % 64;
        if (bits)
            return word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return FG_NOBODY;
}

/* The next member in turn, which is `after` itself where it is alone. */
static uint32_t find_next(const struct fg_set *set, uint32_t after)
{
    uint32_t next = after == FG_NOBODY ? FG_NOBODY : find(set, after + 1);
    return next == FG_NOBODY ? find(set, 0) : next;
}

void fg_schedule_begin(struct fg_schedule *schedule)
{
    pthread_mutexattr_t attributes;
    memset(schedule, 0, sizeof *schedule);
    schedule->running = FG_NOBODY;
    pthread_mutexattr_init(&attributes);
    /* a process may be killed while it holds the lock */
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&schedule->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void sample(struct fg_meter *meter, uint64_t at_ns)
{
    meter->samples[meter->sample_count++ % FG_SAMPLES] = (struct fg_sample){at_ns, meter->busy_ns};
}

/* Samples are 150 to 183 ms apart. */
static uint64_t next_sample_ns(struct fg_schedule *schedule)
{
    schedule->jitter = schedule->jitter * 1664525u + 1013904223u;
    return FG_SAMPLE_NS - FG_SAMPLE_NS / 10 + (schedule->jitter >> 8) % (FG_SAMPLE_NS / 5);
}

static void take_sample(struct fg_schedule *schedule)
{
    sample(&schedule->meter, schedule->at_ns);
    for (uint32_t i = find(&schedule->ran, 0); i != FG_NOBODY; i = find(&schedule->ran, i + 1))
        sample(&schedule->owners[i], schedule->at_ns);
    memset(&schedule->ran, 0, sizeof schedule->ran);
    schedule->next_sample_ns = schedule->at_ns + next_sample_ns(schedule);
}

/* Passes the entries that the channel has come to; false: nothing is left to do. */
static bool pass_entries(struct fg_channel *channel, uint64_t at_ns)
{
    while (channel->passed < channel->recorded) {
        struct fg_entry *entry = &channel->entries[channel->passed % FG_ENTRIES];
        if (entry->at_work_ns > channel->done_ns)
            return true;
        if (entry->is_gate && !entry->is_open)
            return false;
        entry->stamp_ns = at_ns;
        channel->passed++;
    }
    return channel->done_ns < channel->queued_ns;
}

static void switch_to(struct fg_schedule *schedule, uint32_t channel)
{
    schedule->running = channel;
    schedule->slice_end_ns = schedule->at_ns + FG_SLICE_NS;
}

/* Finds who has the GPU now and something to do; FG_NOBODY: nobody has. What
 * ends with a slice is still passed in it. */
static uint32_t settle(struct fg_schedule *schedule, struct fg_channel *channels)
{
    for (;;) {
        uint32_t running = schedule->running;
        bool is_ready = running != FG_NOBODY && has(&schedule->ready, running);
        if (is_ready && !pass_entries(&channels[running], schedule->at_ns)) {
            take(&schedule->ready, running);
            is_ready = false;
        }
        if (is_ready && schedule->at_ns < schedule->slice_end_ns)
            return running;
        uint32_t next = find_next(&schedule->ready, running);
        if (next == FG_NOBODY)
            return FG_NOBODY;
        switch_to(schedule, next);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Runs a channel until its next entry, its end, or something else happens. */
static void run(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t running,
                uint64_t until_ns)
{
    struct fg_channel *channel = &channels[running];
    const struct fg_entry *entry = &channel->entries[channel->passed % FG_ENTRIES];
    uint64_t stop = channel->passed < channel->recorded ? entry->at_work_ns : channel->queued_ns;
    bool is_alone = find_next(&schedule->ready, running) == running;
    if (!is_alone)
        until_ns = least(until_ns, schedule->slice_end_ns);
    uint64_t span = least(until_ns - schedule->at_ns, stop - channel->done_ns);
    channel->done_ns += span;
    schedule->at_ns += span;
    schedule->meter.busy_ns += span;
    schedule->owners[channel->owner].busy_ns += span;
    put(&schedule->ran, channel->owner);
    /* slices go on for one that is alone: who comes later waits for the rest of one */
    if (is_alone && schedule->at_ns >= schedule->slice_end_ns)
        schedule->slice_end_ns += ((schedule->at_ns - schedule->slice_end_ns) / FG_SLICE_NS + 1) * FG_SLICE_NS;
}

/* After a long time without a look, samples of before are of no use. */
static void skip_samples(struct fg_schedule *schedule, uint64_t now_ns)
{
    uint64_t longest = MAX_OVERDUE_SAMPLES * FG_SAMPLE_NS;
    if (now_ns - schedule->next_sample_ns > longest && now_ns > longest)
        schedule->next_sample_ns = now_ns - longest;
}

void fg_schedule_advance(struct fg_schedule *schedule, struct fg_channel *channels, uint64_t now_ns)
{
    for (;;) {
        uint32_t running = settle(schedule, channels);
        if (schedule->at_ns >= now_ns)
            return;
        if (running == FG_NOBODY && schedule->next_sample_ns < now_ns)
            skip_samples(schedule, now_ns);
        uint64_t until_ns = least(now_ns, schedule->next_sample_ns);
        if (until_ns < schedule->at_ns)
            until_ns = schedule->at_ns;
        if (running == FG_NOBODY)
            schedule->at_ns = until_ns;
        else
            run(schedule, channels, running, until_ns);
        if (schedule->at_ns >= schedule->next_sample_ns)
            take_sample(schedule);
    }
}

void fg_schedule_add(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel)
{
    (void)channels;
    put(&schedule->members, channel);
}

void fg_schedule_drop(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel)
{
    take(&schedule->members, channel);
    take(&schedule->ready, channel);
    channels[channel].is_taken = 0;
}

static void wake(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel)
{
    put(&schedule->ready, channel);
    fg_schedule_advance(schedule, channels, schedule->at_ns);
}

struct fg_mark fg_schedule_launch(struct fg_schedule *schedule, struct fg_channel *channels,
                                  uint32_t channel, uint64_t duration_ns)
{
    struct fg_channel *queue = &channels[channel];
    queue->queued_ns += duration_ns;
    schedule->meter.launches++;
    schedule->owners[queue->owner].launches++;
    if (!has(&schedule->ready, channel))
        wake(schedule, channels, channel);
    return (struct fg_mark){queue->queued_ns, queue->recorded};
}

bool fg_schedule_enter(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel,
                       bool is_gate)
{
    struct fg_channel *queue = &channels[channel];
    if (queue->recorded - queue->passed == FG_ENTRIES)
        return false;
    queue->entries[queue->recorded % FG_ENTRIES] =
        (struct fg_entry){.at_work_ns = queue->queued_ns, .is_gate = is_gate};
    queue->recorded++;
    wake(schedule, channels, channel);
    return true;
}

void fg_schedule_open(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel,
                      uint64_t entry)
{
    channels[channel].entries[entry % FG_ENTRIES].is_open = true;
    wake(schedule, channels, channel);
}

bool fg_channel_reached(const struct fg_channel *channel, struct fg_mark mark)
{
    return channel->done_ns >= mark.work_ns && channel->passed >= mark.entries;
}

/* Others get at least the whole slices that lie in between. */
uint64_t fg_schedule_earliest(const struct fg_schedule *schedule, const struct fg_channel *channels,
                              uint32_t channel, struct fg_mark mark)
{
    const struct fg_channel *queue = &channels[channel];
    uint64_t own = mark.work_ns > queue->done_ns ? mark.work_ns - queue->done_ns : 0;
    uint64_t slices = own / FG_SLICE_NS * FG_SLICE_NS, others = 0;
    if (!has(&schedule->ready, channel)) /* a gate is shut, or nothing is left */
        return schedule->at_ns + GATE_POLL_NS;
    for (uint32_t i = find(&schedule->ready, 0); i != FG_NOBODY; i = find(&schedule->ready, i + 1))
        if (i != channel)
            others += least(channels[i].queued_ns - channels[i].done_ns, slices);
    uint32_t running = schedule->running;
    if (!others && running != channel && running != FG_NOBODY && has(&schedule->ready, running))
        others = least(channels[running].queued_ns - channels[running].done_ns,
                       schedule->slice_end_ns - schedule->at_ns);
    return schedule->at_ns + own + others;
}

uint64_t fg_meter_sampled_ns(const struct fg_meter *meter)
{
    return meter->sample_count ? meter->samples[(meter->sample_count - 1) % FG_SAMPLES].at_ns : 0;
}

/* What the meter showed at a time: a process that did nothing has no samples of it. */
static uint64_t busy_at(const struct fg_meter *meter, uint64_t at_ns)
{
    for (uint64_t i = 1; i <= meter->sample_count && i <= FG_SAMPLES; i++) {
        const struct fg_sample *found = &meter->samples[(meter->sample_count - i) % FG_SAMPLES];
        if (found->at_ns <= at_ns)
            return found->busy_ns;
        if (i == meter->sample_count)
            return 0;
    }
    return meter->samples[meter->sample_count % FG_SAMPLES].busy_ns;
}

unsigned fg_meter_percent(const struct fg_meter *meter, const struct fg_meter *gpu, uint64_t since_ns)
{
    if (gpu->sample_count < 2)
        return 0;
    uint64_t last = fg_meter_sampled_ns(gpu), back = 1;
    while (back < FG_SAMPLE_WINDOW && back + 1 < gpu->sample_count)
        back++;
    uint64_t first = gpu->samples[(gpu->sample_count - 1 - back) % FG_SAMPLES].at_ns;
    if (since_ns > first && since_ns < last)
        first = since_ns;
    uint64_t busy = busy_at(meter, last) - busy_at(meter, first);
    unsigned percent = (unsigned)((busy * 100 + (last - first) / 2) / (last - first));
    return percent > 100 ? 100 : percent;
}
