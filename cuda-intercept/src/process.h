/* This process as a member of its shares. */
#ifndef CI_PROCESS_H
#define CI_PROCESS_H

#include "config.h"

/* Joins every share, once per process and again in a forked child; returns the
 * shares, or NULL when memory ran out. A share that could not be joined has no
 * slot and refuses every allocation. */
struct ci_config *ci_process_join(void);

#endif
