#include "lookups.h"

#include "cuda_device.h"

#define MARK_COUNT 4096 /* a power of two; what finds its place taken is measured again */
#define HASH_START 0xcbf29ce484222325ULL
#define HASH_FACTOR 0x100000001b3ULL     /* of FNV-1a, for bytes */
#define MIX_FACTOR 0xff51afd7ed558ccdULL /* of MurmurHash3's last steps, for words */

/* No lock: a mark is written whole, and one that is overwritten is only measured again. */
static _Atomic uint64_t marks[MARK_COUNT];

/* Part of every mark: a new one makes all earlier marks unknown, also those that
 * a look-up under way has yet to remember. */
_Atomic uint64_t ci_lookups_age;

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * MIX_FACTOR;
    return hash ^ hash >> 32;
}

uint64_t ci_lookup_mark(enum ci_symbol symbol, const void *owner, const char *name)
{
    if (name == NULL)
        return 0;
    uint64_t hash = mix(HASH_START, atomic_load(&ci_lookups_age));
    hash = mix(mix(mix(hash, symbol), (uintptr_t)owner), (uintptr_t)ci_current_context());
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * HASH_FACTOR;
    return mix(hash, 0) | 1; /* never 0, which stands for nothing */
}

static _Atomic uint64_t *place_of(uint64_t mark)
{
    return &marks[mark >> 1 & (MARK_COUNT - 1)];
}

bool ci_lookup_is_known(uint64_t mark)
{
    return mark != 0 && atomic_load_explicit(place_of(mark), memory_order_relaxed) == mark;
}

void ci_lookup_remember(uint64_t mark)
{
    if (mark != 0)
        atomic_store_explicit(place_of(mark), mark, memory_order_relaxed);
}

void ci_lookups_forget(void)
{
    atomic_fetch_add(&ci_lookups_age, 1);
}
