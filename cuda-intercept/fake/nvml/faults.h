/* What is wrong with the GPUs: /etc/fake-gpu/faults below the driver root, read
 * at every question, so that a test can break and heal a GPU under a running
 * program. Lines, each of which but the last names a GPU by its minor number:
 *   lost 0          it fell off the bus
 *   fails 0 999     it answers every question with that error, and so does a wait for its events
 *   ecc 0 3         three uncorrected errors since the last reset
 *   recovery 0 1    what the driver wants done (NVML_GPU_RECOVERY_ACTION_*)
 *   xid 0 48        an XID event, told once to every event set that is there
 *   unloaded        the kernel has no driver; only NVML takes notice
 */
#ifndef FG_FAULTS_H
#define FG_FAULTS_H

#include <stdbool.h>

enum fg_fault {
    FG_FAULT_LOST,
    FG_FAULT_FAILS,
    FG_FAULT_ECC,
    FG_FAULT_RECOVERY,
    FG_FAULT_XID,
    FG_FAULT_UNLOADED
};

/* The last line of that kind for the GPU: its number in *value. */
bool fg_fault_of(enum fg_fault kind, unsigned minor, unsigned long *value);

/* Whether the driver is unloaded. */
bool fg_fault_unloaded(void);

/* XID lines in order: the one with this number, counted from 0. */
bool fg_fault_event(unsigned number, unsigned *minor, unsigned long *xid);

/* How many XID lines there are. */
unsigned fg_fault_events(void);

#endif
