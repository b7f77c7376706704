/* How programs find the driver's functions, and how we find the real ones. */
#ifndef CI_RESOLVE_H
#define CI_RESOLVE_H

#include "hook_table.h"

/* The driver's or NVML's own function, or NULL: not loaded, or too old to have
 * it. Never loads a library: only what the program itself has loaded counts. */
void *ci_real(enum ci_symbol symbol);

#define CI_CALL(name) ((ci_pfn_##name)ci_real(CI_##name))

/* What a program that asked for `symbol` is given: our hook, or the driver's
 * own pointer where the share needs no hook there. */
void *ci_offer(enum ci_symbol symbol);

/* The symbol of CUDA whose real function is `pointer`; CI_SYMBOL_COUNT: none of ours. */
enum ci_symbol ci_symbol_of(const void *pointer);

/* Takes `pointer` as the real function of a symbol that no library exports. */
void ci_adopt(enum ci_symbol symbol, void *pointer);

/* The dlsym that programs come to: ours, or that of a library in front of us. */
void *ci_first_dlsym(void);

struct ci_route {
    void *next; /* the dlsym behind ours, to be jumped to; NULL: `answer` is it */
    void *answer;
};
struct ci_route ci_dlsym_route(void *handle, const char *name);

#endif
