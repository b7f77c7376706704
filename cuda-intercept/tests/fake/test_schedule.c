/* The simulated device on a clock of the test's own: who runs when is exact. */
#include "../../fake/device/schedule.h"

#include <string.h>

#include "check.h"

#define MS 1000000ull
#define START (1000 * MS)

static struct fg_schedule gpu;
static struct fg_channel channels[3];

static void begin(void)
{
    fg_schedule_begin(&gpu);
    memset(channels, 0, sizeof channels);
    fg_schedule_advance(&gpu, channels, START);
    for (uint32_t i = 0; i < 3; i++) {
        channels[i].owner = i;
        fg_schedule_add(&gpu, channels, i);
    }
}

static void at(uint64_t ms)
{
    fg_schedule_advance(&gpu, channels, START + ms * MS);
}

static void launch(uint32_t channel, uint64_t ms)
{
    fg_schedule_launch(&gpu, channels, channel, ms * MS);
}

/* Enters an event and returns its place. */
static uint64_t event(uint32_t channel)
{
    CHECK(fg_schedule_enter(&gpu, channels, channel, false));
    return channels[channel].recorded - 1;
}

/* When it passed, in microseconds since the start. */
static uint64_t stamp_us(uint32_t channel, uint64_t entry)
{
    CHECK(entry < channels[channel].passed);
    return (channels[channel].entries[entry % FG_ENTRIES].stamp_ns - START) / 1000;
}

static void work_runs_when_it_is_launched(void)
{
    begin();
    at(10);
    uint64_t first = event(0);
    launch(0, 3);
    uint64_t second = event(0);
    at(12);
    CHECK_EQUAL(channels[0].done_ns, 2 * MS);
    at(30);
    CHECK_EQUAL(stamp_us(0, first), 10000);
    CHECK_EQUAL(stamp_us(0, second), 13000);
    CHECK_EQUAL(gpu.meter.busy_ns, 3 * MS);
}

static void contexts_take_turns_of_two_milliseconds(void)
{
    begin();
    launch(0, 5);
    launch(1, 5);
    uint64_t mine = event(0), other = event(1);
    at(5);
    CHECK_EQUAL(channels[0].done_ns, 3 * MS);
    CHECK_EQUAL(channels[1].done_ns, 2 * MS);
    at(20);
    CHECK_EQUAL(stamp_us(0, mine), 9000);
    CHECK_EQUAL(stamp_us(1, other), 10000);
}

static void events_hold_the_slices_of_others(void)
{
    begin();
    launch(1, 100);
    at(1);
    uint64_t before = event(0);
    launch(0, 4);
    uint64_t after = event(0);
    at(50);
    CHECK_EQUAL(stamp_us(0, before), 2000); /* the rest of the other's slice came first */
    CHECK_EQUAL(stamp_us(0, after) - stamp_us(0, before), 6000);
}

static void whoever_runs_dry_gives_the_gpu_up(void)
{
    begin();
    launch(0, 1);
    launch(1, 1);
    uint64_t other = event(1);
    at(10);
    CHECK_EQUAL(stamp_us(1, other), 2000);
}

static void a_shut_gate_holds_its_context_only(void)
{
    begin();
    CHECK(fg_schedule_enter(&gpu, channels, 0, true));
    launch(0, 1);
    launch(1, 1);
    at(10);
    CHECK_EQUAL(channels[0].done_ns, 0);
    CHECK_EQUAL(channels[1].done_ns, 1 * MS);
    fg_schedule_open(&gpu, channels, 0, 0);
    at(12);
    CHECK_EQUAL(channels[0].done_ns, 1 * MS);
}

static void a_dead_context_leaves_the_gpu_to_others(void)
{
    begin();
    launch(0, 1000);
    launch(1, 10);
    at(4);
    fg_schedule_drop(&gpu, channels, 0);
    at(12);
    CHECK_EQUAL(channels[0].done_ns, 2 * MS);
    CHECK_EQUAL(channels[1].done_ns, 10 * MS);
}

static void looking_more_often_changes_nothing(void)
{
    begin();
    launch(0, 37);
    launch(1, 41);
    launch(2, 5);
    for (uint64_t ms = 0; ms <= 83; ms++)
        at(ms);
    CHECK_EQUAL(channels[0].done_ns, 37 * MS);
    CHECK_EQUAL(channels[1].done_ns, 41 * MS);
    CHECK_EQUAL(channels[2].done_ns, 5 * MS);
    CHECK_EQUAL(gpu.meter.busy_ns, 83 * MS);
}

static void the_earliest_end_is_never_too_late(void)
{
    begin();
    launch(0, 7);
    launch(1, 30);
    struct fg_mark mark = {7 * MS, 0};
    uint64_t look = START;
    while (!fg_channel_reached(&channels[0], mark)) {
        look = fg_schedule_earliest(&gpu, channels, 0, mark);
        fg_schedule_advance(&gpu, channels, look);
    }
    CHECK_EQUAL((look - START) / 1000, 13000);
}

static void utilization_comes_late_and_in_samples(void)
{
    begin();
    launch(0, 300);
    at(100);
    CHECK_EQUAL(fg_meter_percent(&gpu.owners[0], &gpu.meter, 0), 0); /* not sampled yet */
    at(2000);
    CHECK_EQUAL(fg_meter_percent(&gpu.meter, &gpu.meter, 0), 0); /* long gone */
    for (uint64_t ms = 2000; ms < 6000; ms += 10) {
        launch(0, 3);
        at(ms);
    }
    unsigned mine = fg_meter_percent(&gpu.owners[0], &gpu.meter, 0);
    CHECK(mine >= 29 && mine <= 31);
    CHECK_EQUAL(fg_meter_percent(&gpu.owners[1], &gpu.meter, 0), 0);
    uint64_t age = START + 5990 * MS - fg_meter_sampled_ns(&gpu.meter);
    CHECK(age < 184 * MS);
}

static uint64_t sample_ns(const struct fg_meter *meter, uint64_t back)
{
    return meter->samples[(meter->sample_count - 1 - back) % FG_SAMPLES].at_ns;
}

/* Six times a second, but not to the clock's beat; each one is part of the figure for a second. */
static void samples_are_taken_unevenly_and_count_for_a_second(void)
{
    uint64_t shortest = UINT64_MAX, longest = 0;
    begin();
    launch(0, 3000);
    at(3000);
    for (uint64_t back = 0; back + 1 < FG_SAMPLES; back++) {
        uint64_t gap = sample_ns(&gpu.meter, back) - sample_ns(&gpu.meter, back + 1);
        shortest = gap < shortest ? gap : shortest;
        longest = gap > longest ? gap : longest;
    }
    CHECK(shortest >= 149 * MS && longest <= 184 * MS);
    CHECK(longest - shortest > 10 * MS);
    CHECK_EQUAL(fg_meter_percent(&gpu.meter, &gpu.meter, 0), 100);
    at(3500);
    unsigned half = fg_meter_percent(&gpu.meter, &gpu.meter, 0);
    CHECK(half >= 40 && half <= 80);
    at(4300);
    CHECK_EQUAL(fg_meter_percent(&gpu.meter, &gpu.meter, 0), 0);
}

static const struct test tests[] = {
    {"lone", "work runs at once and events are stamped exactly", work_runs_when_it_is_launched, NULL},
    {"slices", "contexts with work take turns", contexts_take_turns_of_two_milliseconds, NULL},
    {"inflated", "the time between two events holds the slices of others", events_hold_the_slices_of_others, NULL},
    {"dry", "a context without work gives its turn up", whoever_runs_dry_gives_the_gpu_up, NULL},
    {"gate", "a gate holds its context until the host opens it", a_shut_gate_holds_its_context_only, NULL},
    {"dead", "the work of a dead context vanishes", a_dead_context_leaves_the_gpu_to_others, NULL},
    {"looks", "how often somebody looks changes nothing", looking_more_often_changes_nothing, NULL},
    {"earliest", "nobody sleeps past the end of his work", the_earliest_end_is_never_too_late, NULL},
    {"samples", "utilization lags behind by its samples", utilization_comes_late_and_in_samples, NULL},
    {"uneven", "samples are not taken evenly, and count for a second", samples_are_taken_unevenly_and_count_for_a_second, NULL},
    {0},
};

int main(void)
{
    return run_tests(tests);
}
