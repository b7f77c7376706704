/* Many threads reserve, give back and look things up at once. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>

#include "../src/pointers.h"
#include "../src/region_layout.h"
#include "check.h"

#define THREADS 4
#define ROUNDS 1500
#define LIMIT 1000

static struct ci_region region;
static _Atomic uint64_t reserved;
static _Atomic int overshoots;

static void *reserve_and_credit(void *argument)
{
    uint64_t bytes = 100 + (uint64_t)(uintptr_t)argument * 37;
    for (int i = 0; i < ROUNDS; i++) {
        if (!ci_region_reserve(&region, HAMI_TOTAL_DEVICE, bytes, LIMIT))
            continue;
        if (atomic_fetch_add(&reserved, bytes) + bytes > LIMIT)
            atomic_fetch_add(&overshoots, 1);
        atomic_fetch_sub(&reserved, bytes);
        ci_region_credit(&region, HAMI_TOTAL_DEVICE, bytes);
    }
    return NULL;
}

static void *insert_and_take(void *argument)
{
    uint64_t base = (uint64_t)(uintptr_t)argument << 32;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct ci_allocation *entry = calloc(1, sizeof(*entry));
        entry->space = CI_SPACE_ADDRESS;
        entry->key = base + i * 512;
        entry->context = (void *)(uintptr_t)(1 + (i & 1));
        ci_pointers_insert(entry);
        if (i % 3 != 0)
            continue;
        struct ci_allocation *taken = ci_pointers_take(CI_SPACE_ADDRESS, base + i * 512);
        if (taken != entry)
            atomic_fetch_add(&overshoots, 1);
        free(taken);
    }
    return NULL;
}

static void run(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i) != 0)
            abort();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* The sum of what threads hold never passes the limit, and all of it comes back. */
static void reservations_never_pass_the_limit(void)
{
    CHECK(ci_region_map_private(&region) && ci_region_join(&region, -1));
    run(reserve_and_credit);
    CHECK(overshoots == 0);
    CHECK(ci_region_total(&region, HAMI_TOTAL_CHARGED) == 0);
    CHECK(atomic_load(&ci_slot(&region, region.slot)->moves) == 0);
}

/* Every entry is found once, by its own key only, or by its context. */
static void entries_are_found_once(void)
{
    run(insert_and_take);
    CHECK(overshoots == 0);
    CHECK(ci_pointers_take(CI_SPACE_ARRAY, 512) == NULL);
    size_t count = 0;
    for (int context = 1; context <= 2; context++)
        for (struct ci_allocation *entry = ci_pointers_take_of_context((void *)(uintptr_t)context); entry != NULL;
             entry = ci_pointers_take_of_context((void *)(uintptr_t)context)) {
            free(entry);
            count++;
        }
    CHECK(count == THREADS * (ROUNDS - (ROUNDS + 2) / 3));
    CHECK(ci_pointers_take(CI_SPACE_ADDRESS, 512) == NULL);
}

int main(void)
{
    reservations_never_pass_the_limit();
    entries_are_found_once();
    return failures != 0;
}
