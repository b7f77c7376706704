#include "pointers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SHARD_COUNT 64
#define BUCKET_COUNT 256

/* Each shard's mutex guards its buckets. The table is fixed and entries come
 * from the caller, so that nothing here can fail after the driver has allocated. */
struct shard {
    pthread_mutex_t mutex;
    struct ci_allocation *buckets[BUCKET_COUNT];
};

static struct shard shards[SHARD_COUNT] = {[0 ... SHARD_COUNT - 1] = {.mutex = PTHREAD_MUTEX_INITIALIZER}};
static _Atomic bool used; /* spares processes that never allocated the reset */

static uint64_t mix(enum ci_space space, uint64_t key)
{
    key ^= (uint64_t)space << 60;
    key ^= key >> 33;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 29;
    return key;
}

static struct ci_allocation **find(struct ci_allocation **link, enum ci_space space, uint64_t key)
{
    while (*link != NULL && ((*link)->key != key || (*link)->space != space))
        link = &(*link)->next;
    return link;
}

static struct ci_allocation *unlink_entry(struct ci_allocation **link)
{
    struct ci_allocation *entry = *link;
    if (entry != NULL)
        *link = entry->next;
    return entry;
}

static struct ci_allocation **bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[hash / SHARD_COUNT % BUCKET_COUNT];
}

void ci_pointers_insert(struct ci_allocation *allocation)
{
    uint64_t hash = mix(allocation->space, allocation->key);
    struct shard *shard = &shards[hash % SHARD_COUNT];
    atomic_store_explicit(&used, true, memory_order_relaxed);
    pthread_mutex_lock(&shard->mutex);
    struct ci_allocation **bucket = bucket_of(shard, hash);
    allocation->next = *bucket;
    *bucket = allocation;
    pthread_mutex_unlock(&shard->mutex);
}

struct ci_allocation *ci_pointers_take(enum ci_space space, uint64_t key)
{
    uint64_t hash = mix(space, key);
    struct shard *shard = &shards[hash % SHARD_COUNT];
    pthread_mutex_lock(&shard->mutex);
    struct ci_allocation *entry = unlink_entry(find(bucket_of(shard, hash), space, key));
    pthread_mutex_unlock(&shard->mutex);
    return entry;
}

struct ci_allocation *ci_pointers_find(enum ci_space space, uint64_t key)
{
    uint64_t hash = mix(space, key);
    struct shard *shard = &shards[hash % SHARD_COUNT];
    pthread_mutex_lock(&shard->mutex);
    struct ci_allocation *entry = *find(bucket_of(shard, hash), space, key);
    pthread_mutex_unlock(&shard->mutex);
    return entry;
}

struct ci_allocation *ci_pointers_find_in(enum ci_space space, uint64_t key, const void *context)
{
    uint64_t hash = mix(space, key);
    struct shard *shard = &shards[hash % SHARD_COUNT];
    pthread_mutex_lock(&shard->mutex);
    struct ci_allocation *entry = *bucket_of(shard, hash);
    while (entry != NULL && (entry->key != key || entry->space != space || entry->context != context))
        entry = entry->next;
    pthread_mutex_unlock(&shard->mutex);
    return entry;
}

static struct ci_allocation *take_from_shard(struct shard *shard, const void *context)
{
    for (int i = 0; i < BUCKET_COUNT; i++) {
        struct ci_allocation **link = &shard->buckets[i];
        while (*link != NULL && (*link)->context != context)
            link = &(*link)->next;
        if (*link != NULL)
            return unlink_entry(link);
    }
    return NULL;
}

struct ci_allocation *ci_pointers_take_of_context(const void *context)
{
    struct ci_allocation *entry = NULL;
    for (int i = 0; context != NULL && entry == NULL && i < SHARD_COUNT; i++) {
        pthread_mutex_lock(&shards[i].mutex);
        entry = take_from_shard(&shards[i], context);
        pthread_mutex_unlock(&shards[i].mutex);
    }
    return entry;
}

void ci_pointers_reset(void)
{
    /* the mutexes may be held by threads that the child does not have */
    for (int i = 0; atomic_load(&used) && i < SHARD_COUNT; i++) {
        memset(shards[i].buckets, 0, sizeof(shards[i].buckets));
        pthread_mutex_init(&shards[i].mutex, NULL);
    }
}
