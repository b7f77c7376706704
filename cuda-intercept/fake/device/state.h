/*
 * What all processes and containers on a machine share: per GPU the queues, per
 * process the memory it holds. One file, mapped by everybody.
 *
 * A process lives as long as its open file: it holds an open-file-description
 * lock on one byte, which the kernel gives back when the last process that has
 * the description is gone, whatever killed it. A real driver's client ends in
 * the same way, when the device file is released. The pid is reported through
 * a POSIX lock, because the kernel translates that owner into the pid
 * namespace of whoever asks.
 */
#ifndef FG_STATE_H
#define FG_STATE_H

#include "profile.h"
#include "schedule.h"

#include <stdbool.h>
#include <sys/types.h>

#define FG_STATE_BYTES (16 << 20) /* of the file, which has room to spare */

struct fg_process_report {
    pid_t pid; /* as seen in the caller's pid namespace */
    uint64_t used_bytes;
    uint32_t number; /* by which the GPU's schedule knows it */
};

/* Maps the state file. Returns 0 or an errno. */
int fg_state_open(void);

/* Takes a slot for this process. Returns 0 or an errno (ENOSPC: none free). */
int fg_state_join(void);

/* To be called in a forked child: it is no process of the driver. */
void fg_state_forget(void);

/* Takes `bytes` of the GPU for this process, unless all live processes would
 * then hold more than `capacity_bytes`. */
bool fg_state_charge(unsigned gpu, uint64_t bytes, uint64_t capacity_bytes);
void fg_state_credit(unsigned gpu, uint64_t bytes);

/* Counts this process' contexts on a GPU: NVML lists processes that have one. */
void fg_state_add_context(unsigned gpu, int change);

/* The bytes that all live processes hold. */
uint64_t fg_state_used_bytes(unsigned gpu);

/* Writes at most `capacity` of the GPU's processes that this pid namespace can
 * see. Returns how many there are. */
unsigned fg_state_processes(unsigned gpu, struct fg_process_report *out, unsigned capacity);

/* What runs on the GPUs; see queue.h, which locks it. */
struct fg_schedule *fg_state_schedule(unsigned gpu);
struct fg_channel *fg_state_channels(void);
uint32_t fg_state_own_number(void); /* after fg_state_join */
bool fg_state_lives(uint32_t number);
bool fg_state_is_writable(void);

#endif
