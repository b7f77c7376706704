/*
 * The simulated device: who runs when. Nothing runs by itself: whoever looks
 * brings a GPU from the time of the last look to the present.
 *
 * As on a GPU without MPS, one context runs at a time. One that has work keeps
 * the GPU for a time slice, then the next one that has work gets it; one that
 * runs dry gives it up at once. The kernels of a context run one after the other
 * in the order of their launches, whatever their streams: each is taken to fill
 * the GPU. An event is stamped when its context has the GPU and has done what
 * came before, so that the time between two events holds the slices of others.
 *
 * All of this lies in shared memory, under the lock of the GPU.
 */
#ifndef FG_SCHEDULE_H
#define FG_SCHEDULE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FG_MAX_PROCESSES 512
#define FG_MAX_CHANNELS 512
#define FG_ENTRIES 1024
#define FG_SAMPLES 16
#define FG_SLICE_NS 2000000ull
#define FG_SAMPLE_NS 166666667ull /* NVML samples six times a second, more or less */
#define FG_SAMPLE_WINDOW 6        /* samples that a utilization is made of */
#define FG_NOBODY (~0u)

/* A point in a channel that is no kernel: an event, or a gate that stays shut
 * until the host opens it. */
struct fg_entry {
    uint64_t at_work_ns; /* after so much work of the channel */
    uint64_t stamp_ns;   /* when the channel passed it */
    bool is_gate;
    bool is_open;
};

/* A context's queue. Work is counted from the context's beginning. */
struct fg_channel {
    uint32_t is_taken;
    uint32_t gpu;
    uint32_t owner; /* the process' number */
    uint64_t queued_ns;
    uint64_t done_ns;
    uint64_t recorded; /* entries ever made, and passed */
    uint64_t passed;
    struct fg_entry entries[FG_ENTRIES]; /* by number, modulo */
};

struct fg_sample {
    uint64_t at_ns;
    uint64_t busy_ns;
};

/* The work done by a GPU, or by one process on it. */
struct fg_meter {
    uint64_t busy_ns;
    uint64_t launches;
    uint64_t sample_count;
    struct fg_sample samples[FG_SAMPLES];
};

struct fg_set {
    uint64_t words[FG_MAX_CHANNELS / 64];
};

struct fg_schedule {
    pthread_mutex_t lock;
    uint64_t at_ns; /* simulated up to here */
    uint32_t running;
    uint64_t slice_end_ns;
    uint64_t next_sample_ns;
    uint32_t jitter;
    struct fg_set members; /* channels of this GPU */
    struct fg_set ready;   /* of them, those with something to do */
    struct fg_set ran;     /* processes that ran since the last sample */
    struct fg_meter meter;
    struct fg_meter owners[FG_MAX_PROCESSES];
};

/* Where a channel stands after all that was put into it before. */
struct fg_mark {
    uint64_t work_ns;
    uint64_t entries;
};

void fg_schedule_begin(struct fg_schedule *schedule);

/* Brings the GPU to the present. */
void fg_schedule_advance(struct fg_schedule *schedule, struct fg_channel *channels, uint64_t now_ns);

/* What follows is for a schedule that was brought to the present. */
void fg_schedule_add(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel);
void fg_schedule_drop(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel);
struct fg_mark fg_schedule_launch(struct fg_schedule *schedule, struct fg_channel *channels,
                                  uint32_t channel, uint64_t duration_ns);

/* False: as many entries are on their way as there is room for. */
bool fg_schedule_enter(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel,
                       bool is_gate);
void fg_schedule_open(struct fg_schedule *schedule, struct fg_channel *channels, uint32_t channel,
                      uint64_t entry);

bool fg_channel_reached(const struct fg_channel *channel, struct fg_mark mark);

/* The earliest time at which the channel can reach the mark. */
uint64_t fg_schedule_earliest(const struct fg_schedule *schedule, const struct fg_channel *channels,
                              uint32_t channel, struct fg_mark mark);

/* How much of the time between the last sample and those before it was work. */
unsigned fg_meter_percent(const struct fg_meter *meter, const struct fg_meter *gpu, uint64_t since_ns);

/* When the newest sample was taken; 0: never. */
uint64_t fg_meter_sampled_ns(const struct fg_meter *meter);

#endif
