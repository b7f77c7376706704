/* What a thread keeps for itself of the launch gate, so that it need not share. */
#ifndef CI_LANE_H
#define CI_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"

#define CI_LANE_MEMOS 64
#define CI_LANE_PURSES 8

/* Budget of one GPU that the thread took ahead. */
struct ci_purse {
    struct ci_device device;
    bool is_limited; /* else nothing is paid */
    bool is_taken;
    bool is_shared; /* others worked on the GPU when it was taken */
    bool by_mean;   /* as its terms had it */
    int share;      /* of which it was taken, and on what terms */
    unsigned int percent;
    uint32_t correction;
    uint32_t turn; /* of the share's takers */
    int64_t left_ns;
    int64_t told_ns; /* what the ledger knows of it as not spent */
    uint64_t launches; /* since the ledger was told */
};

/* A launch that the thread made lately. */
struct ci_memo {
    const void *work;
    uintptr_t stream;
    uint64_t threads;
    int64_t cost_ns;
    struct ci_purse *purse;
    uint64_t age; /* of the handles */
    uint32_t round;
    uint32_t uses_left; /* until the cost is looked up again */
};

struct ci_lane {
    uint32_t round; /* of the memos that hold: a change of context begins another */
    uint32_t pid;
    uint32_t number;
    uint32_t random;
    struct ci_memo memos[CI_LANE_MEMOS];
    struct ci_purse purses[CI_LANE_PURSES];
};

/* Of the calling thread, or NULL. The library is there from the start of the
 * program, so its thread storage may be found the fast way. */
extern _Thread_local struct ci_lane *ci_lane __attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline struct ci_memo *ci_lane_memo(struct ci_lane *lane, const void *work, uintptr_t stream, uint64_t threads)
{
    uint64_t key = ((uintptr_t)work ^ stream << 7 ^ threads << 20) * 0x9e3779b97f4a7c15ULL;
    return &lane->memos[key >> 58];
}

/* Makes the lane where there is none; NULL: out of memory. */
struct ci_lane *ci_lane_get(void);

/* The purse for a GPU, taken from another GPU if need be. */
struct ci_purse *ci_lane_purse(struct ci_lane *lane, const struct ci_device *device);

/* Tells the ledger what the purse has spent and has left. */
void ci_purse_tell(struct ci_purse *purse);

/* Gives the budget that is left back. */
void ci_purse_return(struct ci_purse *purse);

uint32_t ci_lane_random(struct ci_lane *lane);

/* The current context of the calling thread is another one now. */
void ci_lane_forget(void);

#endif
