#include "clock.h"

#include <errno.h>
#include <time.h>

#define SECOND_NS 1000000000ull

uint64_t fg_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void fg_clock_wait(uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / SECOND_NS),
        .tv_nsec = (long)(until_ns % SECOND_NS),
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}

/* Remembers the meter's state as it was before a launch at `now_ns`. Between
 * two samples nothing but the kernels already queued can have run, so that the
 * work done at any time of the past follows from the sample before it. */
static void take_sample(struct fg_meter *meter, uint64_t now_ns)
{
    uint64_t count = meter->sample_count;
    const struct fg_sample *last = &meter->samples[(count - 1) % FG_SAMPLES];
    if (count && now_ns - last->at_ns < FG_SAMPLE_NS)
        return;
    if (!atomic_compare_exchange_strong(&meter->sample_count, &count, count + 1))
        return; /* somebody else samples at this very moment */
    struct fg_sample *sample = &meter->samples[count % FG_SAMPLES];
    sample->at_ns = now_ns;
    sample->end_ns = meter->end_ns;
    sample->work_ns = meter->work_ns;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t queue(struct fg_meter *gpu, uint64_t after_ns, uint64_t duration_ns)
{
    uint64_t tail = gpu->end_ns, end;
    do
        end = later(tail, after_ns) + duration_ns;
    while (!atomic_compare_exchange_weak(&gpu->end_ns, &tail, end));
    return end;
}

uint64_t fg_clock_launch(struct fg_meter *gpu, struct fg_meter *own, uint64_t after_ns,
                         uint64_t duration_ns)
{
    uint64_t now = fg_clock_now();
    take_sample(gpu, now);
    take_sample(own, now);
    uint64_t end = queue(gpu, later(after_ns, now), duration_ns);
    own->end_ns = end;
    gpu->work_ns += duration_ns;
    own->work_ns += duration_ns;
    gpu->launches++;
    own->launches++;
    return end;
}

/* The work done by `at_ns`, given the meter's words at that time: what was
 * queued, less the part of the queue that still lies ahead. */
static uint64_t done(uint64_t work_ns, uint64_t end_ns, uint64_t at_ns)
{
    uint64_t ahead = end_ns > at_ns ? end_ns - at_ns : 0;
    return work_ns > ahead ? work_ns - ahead : 0;
}

static uint64_t done_in_the_past(const struct fg_meter *meter, uint64_t at_ns)
{
    const struct fg_sample *best = NULL;
    uint64_t count = meter->sample_count;
    for (uint64_t i = 0; i < FG_SAMPLES && i < count; i++) {
        const struct fg_sample *sample = &meter->samples[(count - 1 - i) % FG_SAMPLES];
        best = sample;
        if (sample->at_ns <= at_ns)
            break;
    }
    if (!best)
        return 0;
    return done(best->work_ns, best->end_ns, at_ns);
}

unsigned fg_clock_busy_percent(const struct fg_meter *meter, uint64_t window_ns)
{
    uint64_t now = fg_clock_now();
    uint64_t from = now > window_ns ? now - window_ns : 0;
    uint64_t last_sample = meter->samples[(meter->sample_count - 1) % FG_SAMPLES].at_ns;
    uint64_t after = done(meter->work_ns, meter->end_ns, now);
    uint64_t before = done_in_the_past(meter, from);
    /* Launches after the last sample and before the window are in neither sum:
     * an idle GPU whose queue ended before the window did nothing in it. */
    if (meter->end_ns <= from || last_sample == 0)
        return 0;
    uint64_t busy = after > before ? after - before : 0;
    unsigned percent = (unsigned)((busy * 100 + window_ns / 2) / window_ns);
    return percent > 100 ? 100 : percent;
}
