/*
 * Variables that a program knows the address of. They are loaded: asking for one of
 * them again takes nothing, and need not be measured.
 */
#ifndef CI_LOOKUPS_H
#define CI_LOOKUPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "resolve.h"

/* Rises before handles may come to name other things. */
extern _Atomic uint64_t ci_lookups_age;

/* Stands for the name within its owner, in the current context; 0: for nothing. */
uint64_t ci_lookup_mark(enum ci_symbol symbol, const void *owner, const char *name);

bool ci_lookup_is_known(uint64_t mark);
void ci_lookup_remember(uint64_t mark);

/* Before the driver may give the handle of a module, a library or a context to
 * another one, and in a child that was forked. */
void ci_lookups_forget(void);

#endif
