#include "state.h"

#include "queue.h"
#include "root.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_OFD_SETLK /* Linux 3.15, newer than the oldest glibc we build for */
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

#define STATE_PATH "/var/lib/fake-gpu/state"
/* What nvidia-ctk gives containers to write to: where the daemon that keeps GPUs initialised listens. */
#define STATE_AS_SOCKET "/run/nvidia-persistenced/socket"
#define STATE_MAGIC 0x3245544154534746ull /* "FGSTATE2" */

/* Bytes far beyond the end of the file, locked and never written. */
#define LOCK_STATE ((off_t)1 << 40)
#define LOCK_LIVES (LOCK_STATE + 1)
#define LOCK_PIDS (LOCK_LIVES + FG_MAX_PROCESSES)

struct process_gpu {
    _Atomic uint64_t used_bytes;
    _Atomic int64_t contexts;
};

struct process {
    _Atomic uint32_t taken;
    int32_t pid; /* in the namespace below; for the process itself */
    uint64_t pid_namespace;
    struct process_gpu gpus[FG_MAX_GPUS];
};

struct state {
    uint64_t magic;
    uint64_t size;
    char boot_id[40];
    _Atomic uint32_t slots_ever_taken; /* slots from here on were never used */
    struct fg_schedule schedules[FG_MAX_GPUS];
    struct process processes[FG_MAX_PROCESSES];
    struct fg_channel channels[FG_MAX_CHANNELS];
};

static_assert(sizeof(struct state) <= FG_STATE_BYTES, "the state file is too small");

/* Written once, by the first successful fg_state_open; then only read. */
static struct state *state;
static int state_file = -1;
static bool writable;

/* Written by fg_state_join and, in a forked child, fg_state_forget. */
static struct process *own;

/* Excludes the threads of this process, which one file lock does not. */
static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;

static int lock_byte(int command, off_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = fcntl(state_file, command, &lock);
    while (result && errno == EINTR);
    return result ? errno : 0;
}

static void lock_state(void)
{
    pthread_mutex_lock(&threads);
    lock_byte(F_OFD_SETLKW, LOCK_STATE, F_WRLCK);
}

static void unlock_state(void)
{
    lock_byte(F_OFD_SETLK, LOCK_STATE, F_UNLCK);
    pthread_mutex_unlock(&threads);
}

static void read_boot_id(char out[40])
{
    memset(out, 0, 40);
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!file)
        return;
    if (!fgets(out, 37, file))
        out[0] = 0;
    fclose(file);
}

static uint64_t own_pid_namespace(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) ? 0 : (uint64_t)status.st_ino;
}

static int prepare_file(void)
{
    struct stat status;
    if (fstat(state_file, &status))
        return errno;
    if (status.st_size >= FG_STATE_BYTES)
        return 0;
    if (!writable)
        return EROFS;
    return ftruncate(state_file, FG_STATE_BYTES) ? errno : 0;
}

/* Makes the state ours: of this layout and of this boot. Clocks of an earlier
 * boot would lie in the future. */
static void prepare_state(struct state *fresh)
{
    char boot_id[40];
    read_boot_id(boot_id);
    if (fresh->magic == STATE_MAGIC && fresh->size == sizeof *fresh &&
        !strcmp(fresh->boot_id, boot_id))
        return;
    memset((void *)fresh, 0, offsetof(struct state, processes));
    for (unsigned i = 0; i < FG_MAX_PROCESSES; i++)
        fresh->processes[i].taken = 0;
    for (unsigned i = 0; i < FG_MAX_CHANNELS; i++)
        fresh->channels[i].is_taken = 0;
    for (unsigned i = 0; i < FG_MAX_GPUS; i++)
        fg_schedule_begin(&fresh->schedules[i]);
    memcpy(fresh->boot_id, boot_id, sizeof boot_id);
    fresh->size = sizeof *fresh;
    fresh->magic = STATE_MAGIC;
}

static int map_state(void)
{
    int problem = prepare_file();
    if (problem)
        return problem;
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *mapped = mmap(NULL, sizeof *state, protection, MAP_SHARED, state_file, 0);
    if (mapped == MAP_FAILED)
        return errno;
    if (writable)
        prepare_state(mapped);
    state = mapped;
    return 0;
}

static int open_file(void)
{
    char path[4096];
    if (!fg_root_find(STATE_PATH, STATE_AS_SOCKET, path, sizeof path))
        return ENAMETOOLONG;
    writable = true;
    state_file = open(path, O_RDWR | O_CLOEXEC);
    if (state_file < 0 && (errno == EROFS || errno == EACCES)) {
        writable = false;
        state_file = open(path, O_RDONLY | O_CLOEXEC);
    }
    return state_file < 0 ? errno : 0;
}

/* The file stays open for ever: closing any descriptor of it would drop the
 * POSIX lock that the other library of this process may hold. */
int fg_state_open(void)
{
    pthread_mutex_lock(&threads);
    int problem = 0;
    if (!state && state_file < 0)
        problem = open_file();
    if (!problem && !state) {
        if (writable)
            lock_byte(F_OFD_SETLKW, LOCK_STATE, F_WRLCK);
        problem = map_state();
        if (writable)
            lock_byte(F_OFD_SETLK, LOCK_STATE, F_UNLCK);
    }
    pthread_mutex_unlock(&threads);
    return problem;
}

static bool is_live(const struct process *process)
{
    if (!process->taken)
        return false;
    if (process == own)
        return true;
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = LOCK_LIVES + (process - state->processes),
        .l_len = 1,
    };
    return fcntl(state_file, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* Of the process that had this number before. */
static void clear_queues(uint32_t number)
{
    for (uint32_t i = 0; i < FG_MAX_CHANNELS; i++)
        if (state->channels[i].is_taken && state->channels[i].owner == number)
            fg_queue_end(i);
    for (unsigned i = 0; i < FG_MAX_GPUS; i++)
        memset(&state->schedules[i].owners[number], 0, sizeof(struct fg_meter));
}

static int take_slot(void)
{
    for (unsigned i = 0; i < FG_MAX_PROCESSES; i++) {
        if (lock_byte(F_OFD_SETLK, LOCK_LIVES + i, F_WRLCK))
            continue;
        struct process *slot = &state->processes[i];
        clear_queues(i);
        memset((void *)slot, 0, sizeof *slot);
        slot->pid = getpid();
        slot->pid_namespace = own_pid_namespace();
        lock_byte(F_SETLK, LOCK_PIDS + i, F_WRLCK);
        if (state->slots_ever_taken <= i)
            state->slots_ever_taken = i + 1;
        slot->taken = 1;
        own = slot;
        return 0;
    }
    return ENOSPC;
}

int fg_state_join(void)
{
    if (!writable)
        return EROFS;
    lock_state();
    int problem = own ? 0 : take_slot();
    unlock_state();
    return problem;
}

void fg_state_forget(void)
{
    own = NULL;
}

uint64_t fg_state_used_bytes(unsigned gpu)
{
    uint64_t used = 0;
    unsigned count = state->slots_ever_taken;
    for (unsigned i = 0; i < count; i++) {
        const struct process *process = &state->processes[i];
        if (process->gpus[gpu].used_bytes && is_live(process))
            used += process->gpus[gpu].used_bytes;
    }
    return used;
}

bool fg_state_charge(unsigned gpu, uint64_t bytes, uint64_t capacity_bytes)
{
    lock_state();
    uint64_t used = fg_state_used_bytes(gpu);
    bool fits = bytes <= capacity_bytes && used <= capacity_bytes - bytes;
    if (fits)
        own->gpus[gpu].used_bytes += bytes;
    unlock_state();
    return fits;
}

void fg_state_credit(unsigned gpu, uint64_t bytes)
{
    own->gpus[gpu].used_bytes -= bytes;
}

void fg_state_add_context(unsigned gpu, int change)
{
    own->gpus[gpu].contexts += change;
}

/* 0 where the process cannot be seen from here. */
static pid_t visible_pid(const struct process *process)
{
    if (process->pid == getpid() && process->pid_namespace == own_pid_namespace())
        return process->pid;
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = LOCK_PIDS + (process - state->processes),
        .l_len = 1,
    };
    if (fcntl(state_file, F_GETLK, &lock) || lock.l_type == F_UNLCK || lock.l_pid <= 0)
        return 0;
    return lock.l_pid;
}

unsigned fg_state_processes(unsigned gpu, struct fg_process_report *out, unsigned capacity)
{
    unsigned found = 0, count = state->slots_ever_taken;
    for (unsigned i = 0; i < count; i++) {
        const struct process *process = &state->processes[i];
        const struct process_gpu *usage = &process->gpus[gpu];
        if (usage->contexts <= 0 || !is_live(process))
            continue;
        pid_t pid = visible_pid(process);
        if (!pid)
            continue;
        if (found < capacity)
            out[found] = (struct fg_process_report){
                .pid = pid,
                .used_bytes = usage->used_bytes,
                .number = i,
            };
        found++;
    }
    return found;
}

struct fg_schedule *fg_state_schedule(unsigned gpu)
{
    return &state->schedules[gpu];
}

struct fg_channel *fg_state_channels(void)
{
    return state->channels;
}

uint32_t fg_state_own_number(void)
{
    return (uint32_t)(own - state->processes);
}

bool fg_state_lives(uint32_t number)
{
    return is_live(&state->processes[number]);
}

bool fg_state_is_writable(void)
{
    return writable;
}
