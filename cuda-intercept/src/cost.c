/*
 * Where nobody else works, a measured time is the cost, and the mean of the last
 * ones is what the next launch is charged: right also for a function whose runs
 * differ. Where others do, a pair of events holds their time slices as well,
 * and the least of the last measurements is the best guess there is. So it is where
 * pairs hold time on the host, unless there are others: mixed with them it would
 * charge a function of varying length too little.
 */
#include "cost.h"

#include <stdatomic.h>
#include <stddef.h>

#define SLOTS 4096
#define PROBES 4
#define MEAN_SHIFT 2
#define SPREAD_SHIFT 6 /* slower, or a few like runs would pass for all */
#define VARIES_PART 8
#define LEAST_SPAN 8 /* measurements that make one generation of the least */
#define ANY_SIZE 0xff
#define THREADS_SHIFT 10
#define GUESS_MAX_NS 1000000000ULL /* a kernel of few threads tells nothing of one of many that do the same */

/* DOUBTED and GONE last until the next measurement, which begins anew. */
enum standing { GOOD, DOUBTED, GONE };

/* Looked up without a lock, so `key` and `gpu_ns` belong together only roughly:
 * a wrong guess lasts for one sample. */
static struct entry {
    _Atomic uint64_t key;
    _Atomic int64_t gpu_ns;
    int64_t least[2]; /* of this generation and of the one before */
    _Atomic int seen;
    _Atomic int64_t spread_ns; /* the mean distance from the mean */
    _Atomic int standing;      /* enum standing */
    int rough;                 /* rough times since the last exact one */
} entries[SLOTS];

/* Sizes within a quarter of each other count as one. */
static unsigned int size_class(uint64_t threads)
{
    if (threads < 4)
        return (unsigned int)threads;
    unsigned int exponent = 63 - (unsigned int)__builtin_clzll(threads);
    return exponent * 4 + (threads >> (exponent - 2) & 3);
}

static bool is_of_handle(uint64_t key, uint64_t handle)
{
    return key != 0 && ((key - 1) >> 8 & ((1ULL << CI_COST_ORDINAL_SHIFT) - 1)) == handle;
}

static uint64_t make_key(const void *work, unsigned int size)
{
    uint64_t key = ((uint64_t)(uintptr_t)work << 8 | size) + 1;
    return key;
}

static struct entry *find(uint64_t key)
{
    size_t first = key * 0x9e3779b97f4a7c15ULL >> 52;
    for (size_t i = 0; i < PROBES; i++) {
        struct entry *entry = &entries[(first + i) % SLOTS];
        if (atomic_load_explicit(&entry->key, memory_order_relaxed) == key)
            return entry;
    }
    return NULL;
}

static void begin_anew(struct entry *entry)
{
    atomic_store_explicit(&entry->gpu_ns, 0, memory_order_relaxed);
    entry->seen = entry->rough = 0;
    entry->spread_ns = 0;
    atomic_store_explicit(&entry->standing, GOOD, memory_order_relaxed);
}

/* Where all places are taken, the first one's owner is forgotten. */
static struct entry *find_or_make(uint64_t key)
{
    struct entry *entry = find(key);
    size_t first = key * 0x9e3779b97f4a7c15ULL >> 52;
    if (entry != NULL)
        return entry;
    for (size_t i = 0; i < PROBES; i++) {
        entry = &entries[(first + i) % SLOTS];
        if (atomic_load_explicit(&entry->key, memory_order_relaxed) == 0)
            break;
        entry = &entries[first];
    }
    begin_anew(entry);
    atomic_store_explicit(&entry->key, key, memory_order_relaxed);
    return entry;
}

static int standing_of(const struct entry *entry)
{
    return entry == NULL ? GONE : atomic_load_explicit(&entry->standing, memory_order_relaxed);
}

static int64_t cost_of(const struct entry *entry)
{
    return standing_of(entry) == GONE ? 0 : atomic_load_explicit(&entry->gpu_ns, memory_order_relaxed);
}

bool ci_cost_is_open(const void *work, uint64_t threads)
{
    const struct entry *entry = find(make_key(work, size_class(threads)));
    return entry != NULL && standing_of(entry) != GOOD;
}

void ci_cost_forget(const void *work, uint64_t threads)
{
    struct entry *entry = find(make_key(work, size_class(threads)));
    if (entry != NULL)
        atomic_store_explicit(&entry->standing, GONE, memory_order_relaxed);
}

void ci_cost_forget_all(const void *handle)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (is_of_handle(atomic_load_explicit(&entries[i].key, memory_order_relaxed), (uintptr_t)handle))
            atomic_store_explicit(&entries[i].standing, GONE, memory_order_relaxed);
}

void ci_cost_doubt(const void *work, uint64_t threads)
{
    struct entry *entry = find(make_key(work, size_class(threads)));
    if (standing_of(entry) == GOOD)
        atomic_store_explicit(&entry->standing, DOUBTED, memory_order_relaxed);
}

/* Of a grid of that many threads, so far as another one's time tells. */
static int64_t scale(uint64_t per_thread, uint64_t threads)
{
    if (threads > (GUESS_MAX_NS << THREADS_SHIFT) / per_thread)
        return GUESS_MAX_NS;
    return (int64_t)(per_thread * threads >> THREADS_SHIFT) + 1;
}

struct ci_cost ci_cost_find(const void *work, uint64_t threads)
{
    const struct entry *entry = find(make_key(work, size_class(threads)));
    int64_t exact = cost_of(entry);
    if (exact > 0 && standing_of(entry) == DOUBTED)
        return (struct ci_cost){.gpu_ns = exact};
    if (exact > 0)
        return (struct ci_cost){
            .is_known = true,
            .is_sure = atomic_load_explicit(&entry->seen, memory_order_relaxed) >= LEAST_SPAN,
            .gpu_ns = exact,
            .varies = atomic_load_explicit(&entry->spread_ns, memory_order_relaxed) > exact / VARIES_PART,
        };
    int64_t per_thread = cost_of(find(make_key(work, ANY_SIZE)));
    return (struct ci_cost){.gpu_ns = per_thread == 0 ? 0 : scale((uint64_t)per_thread, threads)};
}

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t note_least(struct entry *entry, int64_t measured_ns)
{
    if (entry->seen == 0)
        entry->least[0] = entry->least[1] = measured_ns;
    else if (entry->seen % LEAST_SPAN == 0) {
        entry->least[1] = entry->least[0];
        entry->least[0] = measured_ns;
    }
    entry->seen++;
    entry->least[0] = lesser(entry->least[0], measured_ns);
    return lesser(entry->least[0], entry->least[1]);
}

/* Whether enough is known without a rough time: some of the last were exact. */
static bool is_needless(struct entry *entry, enum ci_time time)
{
    entry->rough = time == CI_TIME_EXACT ? 0 : entry->rough + (time == CI_TIME_ROUGH);
    return time == CI_TIME_ROUGH && entry->seen >= LEAST_SPAN && entry->rough <= LEAST_SPAN;
}

static void note_spread(struct entry *entry, int64_t off_ns)
{
    int64_t spread = atomic_load_explicit(&entry->spread_ns, memory_order_relaxed);
    int64_t distance = off_ns < 0 ? -off_ns : off_ns;
    atomic_store_explicit(&entry->spread_ns, spread + ((distance - spread) >> SPREAD_SHIFT), memory_order_relaxed);
}

int64_t ci_cost_learn(const void *work, uint64_t threads, int64_t measured_ns, enum ci_time time)
{
    struct entry *entry = find_or_make(make_key(work, size_class(threads)));
    if (standing_of(entry) != GOOD)
        begin_anew(entry);
    if (is_needless(entry, time))
        return 0;
    int64_t least = note_least(entry, measured_ns);
    int64_t cost = time == CI_TIME_EXACT ? measured_ns : least;
    int64_t old = cost_of(entry);
    bool is_mean = old > 0 && time == CI_TIME_EXACT;
    if (is_mean)
        note_spread(entry, cost - old);
    else if (time == CI_TIME_SHARED) /* a slice of others in a few of them says nothing */
        note_spread(entry, measured_ns / 2 > least ? least : 0);
    int64_t mean = is_mean ? old + ((cost - old) >> MEAN_SHIFT) : cost;
    atomic_store_explicit(&entry->gpu_ns, mean > 0 ? mean : 1, memory_order_relaxed);
    if (threads > 0) {
        int64_t per_thread = (int64_t)(((uint64_t)cost << THREADS_SHIFT) / threads);
        struct entry *any = find_or_make(make_key(work, ANY_SIZE));
        atomic_store_explicit(&any->gpu_ns, per_thread + 1, memory_order_relaxed);
        atomic_store_explicit(&any->standing, GOOD, memory_order_relaxed);
    }
    return cost > 0 ? cost : 1;
}
