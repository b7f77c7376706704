/* Random and mangled texts and ledgers: whatever they hold, nothing is read or
 * written out of bounds. Run under the address sanitizer, with a fixed seed; for
 * longer runs: fuzz_parsers texts|regions|nodes SECONDS SEED. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../src/budget.h"
#include "../src/config.h"
#include "../src/region_layout.h"
#include "check.h"

static uint64_t state = 0x9e3779b97f4a7c15ULL;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static const char *const seeds[] = {
    "layout 1\nshare s1\nuuid GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01\nmemory 3145728000\ncores 30\n",
    "uuid=GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01,memory=1024,cores=5",
    "3000m",
    "priority -5\ncore_limit soft\n",
};

/* A seed with some bytes changed, dropped or doubled, in a buffer of exactly its length. */
static char *mangle(size_t *length)
{
    const char *seed = seeds[next_random() % (sizeof(seeds) / sizeof(seeds[0]))];
    char text[512];
    size_t end = strlen(seed);
    memcpy(text, seed, end);
    for (unsigned int edits = next_random() % 8; edits > 0 && end > 0; edits--) {
        size_t at = next_random() % end;
        if (next_random() % 4 == 0)
            end = at;
        else if (next_random() % 4 == 0 && end < sizeof(text) - 1)
            memmove(text + at + 1, text + at, end++ - at);
        else
            text[at] = (char)next_random();
    }
    char *copy = malloc(end + 1);
    memcpy(copy, text, end);
    copy[end] = '\0';
    *length = end;
    return copy;
}

static void fuzz_texts(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        struct ci_limits limits;
        uint64_t bytes;
        size_t length;
        char *text = mangle(&length);
        char *exact = malloc(length == 0 ? 1 : length);
        memcpy(exact, text, length);
        if (ci_parse_limits(exact, length, &limits))
            CHECK(limits.core_percent <= 100 && strlen(limits.share) < CI_SHARE_ID_BYTES);
        ci_parse_share_variable(text, &limits);
        ci_parse_size(text, &bytes);
        free(exact);
        free(text);
    }
}

static void scribble(unsigned char *base, size_t size)
{
    for (unsigned int words = next_random() % 64; words > 0; words--)
        base[next_random() % size] = (unsigned char)next_random();
    if (next_random() % 8 == 0)
        for (size_t i = 0; i < size; i++)
            base[i] = (unsigned char)next_random();
}

/* The mutexes stay out of it: glibc follows their list pointers, which can
 * only ever harm the process that scribbled. */
static void scribble_region(struct ci_region *region)
{
    scribble(region->base, HAMI_USAGE_SLOTS_OFFSET);
    for (int i = 0; i < 4; i++)
        scribble((unsigned char *)ci_slot(region, (int)(next_random() % HAMI_USAGE_SLOT_COUNT)), HAMI_SLOT_OFFSET_MUTEX);
}

static void fuzz_regions(int rounds)
{
    struct ci_member members[64];
    for (int i = 0; i < rounds; i++) {
        int fd = memfd_create("usage", 0);
        struct ci_region region;
        if (fd < 0 || ftruncate(fd, HAMI_USAGE_FILE_BYTES) != 0 || !ci_region_map(&region, fd))
            abort();
        if (i % 2 == 0)
            scribble_region(&region);
        ci_region_join(&region, fd);
        scribble_region(&region);
        if (ci_region_reserve(&region, HAMI_TOTAL_DEVICE, 1000, 5000))
            ci_region_credit(&region, HAMI_TOTAL_DEVICE, 1000);
        ci_region_sweep(&region);
        ci_budget_take(&region, 1000, 30, next_random());
        ci_budget_settle(&region, -1000, 30);
        ci_budget_used_percent(&region, next_random());
        ci_region_has_others(&region);
        CHECK(ci_region_members(&region, next_random() % 2, members, 64) <= 64);
        /* let go, so that the list of held mutexes does not point into freed memory */
        if (region.slot != CI_NO_SLOT)
            pthread_mutex_unlock(&ci_slot(&region, region.slot)->mutex);
        ci_region_unmap(&region);
        close(fd);
    }
}

static void fuzz_nodes(int rounds)
{
    uint64_t page[HAMI_NODE_BYTES / 8];
    for (int i = 0; i < rounds; i++) {
        memset(page, 0, sizeof(page));
        page[HAMI_NODE_OFFSET_MAGIC / 8] = HAMI_NODE_MAGIC;
        page[HAMI_NODE_OFFSET_LAYOUT / 8] = HAMI_NODE_LAYOUT;
        scribble((unsigned char *)page, sizeof(page));
        ci_node_unledgered((const unsigned char *)page);
    }
}

static const struct {
    const char *name;
    void (*run)(int rounds);
    int rounds;
} fuzzers[] = {
    {"texts", fuzz_texts, 200000},
    {"regions", fuzz_regions, 300},
    {"nodes", fuzz_nodes, 2000},
};

int main(int argc, char **argv)
{
    time_t end = time(NULL) + (argc > 3 ? atoi(argv[2]) : 0);
    if (argc > 3)
        state ^= strtoull(argv[3], NULL, 10);
    for (size_t i = 0; i < sizeof(fuzzers) / sizeof(fuzzers[0]); i++) {
        if (argc > 3 && strcmp(argv[1], fuzzers[i].name) != 0)
            continue;
        do {
            fuzzers[i].run(fuzzers[i].rounds);
        } while (time(NULL) < end);
    }
    return failures != 0;
}
