/* The ledger of a share, as several processes use it and some of them die. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/region_layout.h"
#include "check.h"

#define LIMIT 1000000

static int new_usage(off_t size)
{
    int fd = memfd_create("usage", 0);
    if (fd < 0 || ftruncate(fd, size) != 0)
        abort();
    return fd;
}

/* Another open file, so that locks tell processes apart. */
static int reopen(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDWR);
}

/* A process that joins, reserves and then waits to be killed. */
static pid_t start_holder(int usage, uint64_t bytes)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        struct ci_region region;
        bool good = ci_region_map(&region, usage) && ci_region_join(&region, reopen(usage)) &&
                    (bytes == 0 || ci_region_reserve(&region, HAMI_TOTAL_DEVICE, bytes, LIMIT));
        if (!good || write(ready[1], "+", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    return pid;
}

static void kill_hard(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Joins in a thread of its own, as the library does: the thread's end frees the slot. */
struct joined {
    struct ci_region region;
    int fd;
    bool good;
};

static void join_here(struct joined *joined, int usage)
{
    joined->fd = reopen(usage);
    joined->good = ci_region_map(&joined->region, joined->fd) && ci_region_join(&joined->region, joined->fd);
    CHECK(joined->good);
}

/* Two processes never get more than the limit together, and a reservation given back can be had again. */
static void processes_share_one_limit(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    pid_t other = start_holder(usage, 600000);
    struct joined self;
    join_here(&self, usage);
    CHECK(!ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 400001, LIMIT));
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_POOL, 400000, LIMIT));
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == LIMIT);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_POOL) == 400000);
    ci_region_credit(&self.region, HAMI_TOTAL_POOL, 400000);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 600000);
    kill_hard(other);
}

/* What a killed process held comes back to the others. */
static void killed_process_gives_bytes_back(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    pid_t other = start_holder(usage, 900000);
    struct joined self;
    join_here(&self, usage);
    CHECK(!ci_region_sweep(&self.region));
    CHECK(!ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 500000, LIMIT));
    kill_hard(other);
    CHECK(ci_region_sweep(&self.region));
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_DEVICE) == 0);
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 500000, LIMIT));
}

/* A process that forked and exec'ed is gone as a user of the GPU, though its pid lives. */
static void exec_gives_bytes_back(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC) != 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        struct ci_region region;
        if (ci_region_map(&region, usage) && ci_region_join(&region, reopen(usage)) &&
            ci_region_reserve(&region, HAMI_TOTAL_DEVICE, 1000, LIMIT))
            execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(1);
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 0); /* closed by exec */
    struct joined self;
    join_here(&self, usage);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
    kill_hard(pid);
}

/* With every slot taken by the living the next process stays outside, until one dies. */
static void full_table_refuses(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    pid_t first = start_holder(usage, 0);
    struct ci_region region;
    int fd = reopen(usage);
    CHECK(ci_region_map(&region, fd));
    for (int i = 1; i < HAMI_USAGE_SLOT_COUNT; i++)
        CHECK(pthread_mutex_lock(&ci_slot(&region, i)->mutex) == 0);
    CHECK(!ci_region_join(&region, fd));
    CHECK(!ci_region_reserve(&region, HAMI_TOTAL_DEVICE, 1, LIMIT));
    kill_hard(first);
    CHECK(ci_region_join(&region, fd));
    CHECK(region.slot == 0);
    CHECK(ci_region_reserve(&region, HAMI_TOTAL_DEVICE, 1, LIMIT));
}

static void put64(int usage, off_t offset, uint64_t value)
{
    CHECK(pwrite(usage, &value, sizeof(value), offset) == sizeof(value));
}

/* A file that is too small, of another layout or with a strange header is not joined. */
static void damaged_files_are_refused(void)
{
    struct ci_region region;
    CHECK(!ci_region_map(&region, new_usage(HAMI_USAGE_FILE_BYTES - 1)));
    CHECK(!ci_region_is_intact(&region));

    int strange = new_usage(HAMI_USAGE_FILE_BYTES);
    put64(strange, HAMI_USAGE_OFFSET_MAGIC, 0x1234);
    CHECK(ci_region_map(&region, strange) && !ci_region_join(&region, strange));

    static const off_t words[] = {HAMI_USAGE_OFFSET_LAYOUT, HAMI_USAGE_OFFSET_FILE_BYTES, HAMI_USAGE_OFFSET_SLOT_COUNT,
                                  HAMI_USAGE_OFFSET_SLOTS};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        int usage = new_usage(HAMI_USAGE_FILE_BYTES);
        kill_hard(start_holder(usage, 0));
        put64(usage, words[i], 0xffffffffffffffff);
        CHECK(ci_region_map(&region, usage) && !ci_region_join(&region, usage));
    }
}

/* Zeroed under a running process the ledger is closed for it, and opens no hole in its totals. */
static void zeroed_file_closes(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 10, LIMIT));
    memset(self.region.base, 0, HAMI_USAGE_FILE_BYTES);
    CHECK(!ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 10, LIMIT));
    ci_region_credit(&self.region, HAMI_TOTAL_DEVICE, 10);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
}

/* A process that died while it set the file up leaves it to the next one. */
static void half_set_up_file_is_finished(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    uint32_t setting_up = CI_STATE_SETTING_UP;
    CHECK(pwrite(usage, &setting_up, sizeof(setting_up), HAMI_USAGE_OFFSET_STATE) == sizeof(setting_up));
    put64(usage, HAMI_USAGE_HEADER_BYTES, 12345);
    struct joined self;
    join_here(&self, usage);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
}

/* Bytes that a process lost on its way to death are put right by the next lone one. */
static void lone_process_settles_totals(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    kill_hard(start_holder(usage, 0));
    put64(usage, HAMI_USAGE_HEADER_BYTES + 8 * HAMI_TOTAL_CHARGED, 777);
    struct joined self;
    join_here(&self, usage);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
}

/* A process that takes and gives back without end, until it is killed. */
static pid_t start_mover(int usage)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    struct ci_region region;
    if (!ci_region_map(&region, usage) || !ci_region_join(&region, reopen(usage)))
        _exit(1);
    for (uint64_t bytes = 1;; bytes = bytes % 1000 + 1)
        if (ci_region_reserve(&region, HAMI_TOTAL_DEVICE, bytes, LIMIT) && bytes % 3 != 0)
            ci_region_credit(&region, HAMI_TOTAL_DEVICE, bytes);
}

static uint64_t sum_of_slots(const struct ci_region *region)
{
    uint64_t sum = 0;
    for (int i = 0; i < HAMI_USAGE_SLOT_COUNT; i++)
        for (int kind = 0; kind < CI_KIND_COUNT; kind++)
            sum += atomic_load(&ci_slot(region, i)->bytes[kind]);
    return sum;
}

/* Killed at any instruction, a process leaves nothing charged while others live on. */
static void killed_within_a_move_loses_nothing(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 12345, LIMIT));
    pid_t stays = start_mover(usage);
    int repairs = 0;
    srand(4711);
    for (int i = 0; i < 300; i++) {
        pid_t dies = start_mover(usage);
        usleep((useconds_t)(rand() % 3000));
        kill_hard(dies);
        ci_region_sweep(&self.region);
        repairs += atomic_load(&ci_notes(&self.region)->dirty) != 0;
    }
    kill_hard(stays);
    ci_region_sweep(&self.region);
    ci_region_sweep(&self.region);
    CHECK(atomic_load(&ci_notes(&self.region)->dirty) == 0);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 12345);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_DEVICE) == 12345);
    CHECK(sum_of_slots(&self.region) == 12345);
    CHECK(repairs < 300);
}

/* Every point at which a process can die within a move: before, between and after its stores. */
static void every_broken_move_is_repaired(void)
{
    static const struct {
        uint64_t charged, kind, slot;
    } left[] = {{0, 0, 0}, {100, 0, 0}, {100, 100, 0}, {100, 100, 100}};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        int usage = new_usage(HAMI_USAGE_FILE_BYTES);
        struct joined self;
        join_here(&self, usage);
        CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_POOL, 7, LIMIT));
        pid_t other = start_holder(usage, 50);
        struct ci_slot *slot = ci_slot(&self.region, 1);
        atomic_fetch_add(&slot->moves, 1);
        atomic_fetch_add(ci_total(&self.region, HAMI_TOTAL_CHARGED), left[i].charged);
        atomic_fetch_add(ci_total(&self.region, HAMI_TOTAL_DEVICE), left[i].kind);
        atomic_fetch_add(&slot->bytes[0], left[i].slot);
        kill_hard(other);
        CHECK(ci_region_sweep(&self.region));
        CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 7);
        CHECK(ci_region_total(&self.region, HAMI_TOTAL_DEVICE) == 0);
        CHECK(ci_region_total(&self.region, HAMI_TOTAL_POOL) == 7);
    }
}

/* Who dies while it puts the totals right leaves that to the next one that reserves. */
static void broken_repair_is_taken_over(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    pid_t other = start_holder(usage, 50);
    atomic_store(&ci_notes(&self.region)->repairing, 2);
    atomic_store(ci_total(&self.region, HAMI_TOTAL_CHARGED), 999);
    CHECK(!ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 1, LIMIT));
    kill_hard(other);
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, LIMIT, LIMIT));
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == LIMIT);
}

/* A process that is stopped within a move holds nobody up for long; the totals stay too high until it ends. */
static void stopped_process_is_not_waited_for(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    pid_t other = start_holder(usage, 50);
    struct ci_slot *slot = ci_slot(&self.region, 1);
    atomic_fetch_add(&slot->moves, 1);
    atomic_store(&ci_notes(&self.region)->dirty, 1);
    atomic_fetch_add(ci_total(&self.region, HAMI_TOTAL_CHARGED), 10);
    ci_region_sweep(&self.region);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 60);
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, 5, LIMIT));
    kill_hard(other);
    ci_region_sweep(&self.region);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 5);
}

/* A slot whose lock says to be of another kind, here one that raises priorities beyond all that there are,
 * ends nobody: it is left alone, and who joins takes the next one. */
static void scribbled_lock_is_left_alone(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    struct ci_slot *slot = ci_slot(&self.region, 1);
    slot->mutex.__data.__kind = PTHREAD_PRIO_PROTECT << 5;
    slot->mutex.__data.__lock = -1;
    atomic_store(&slot->state, HAMI_SLOT_TAKEN);
    atomic_store(&ci_notes(&self.region)->high_water, 2);
    pid_t other = start_holder(usage, 50);
    CHECK(atomic_load(&ci_slot(&self.region, 2)->pid) == (uint32_t)other);
    ci_region_sweep(&self.region);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 50);
    kill_hard(other);
}

/* Giving back more than there is ends at zero, never at a huge number. */
static void credit_stops_at_zero(void)
{
    int usage = new_usage(HAMI_USAGE_FILE_BYTES);
    struct joined self;
    join_here(&self, usage);
    ci_region_credit(&self.region, HAMI_TOTAL_DEVICE, 5);
    CHECK(ci_region_total(&self.region, HAMI_TOTAL_CHARGED) == 0);
    CHECK(!ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, UINT64_MAX, LIMIT));
    CHECK(ci_region_reserve(&self.region, HAMI_TOTAL_DEVICE, LIMIT, LIMIT));
}

int main(void)
{
    processes_share_one_limit();
    killed_process_gives_bytes_back();
    exec_gives_bytes_back();
    full_table_refuses();
    damaged_files_are_refused();
    zeroed_file_closes();
    half_set_up_file_is_finished();
    lone_process_settles_totals();
    killed_within_a_move_loses_nothing();
    every_broken_move_is_repaired();
    broken_repair_is_taken_over();
    stopped_process_is_not_waited_for();
    scribbled_lock_is_left_alone();
    credit_stops_at_zero();
    return failures != 0;
}
