/*
 * Code and data that drivers load when they are first used. What a call is seen to
 * load is charged to its module or library, in the context where it came to lie:
 * there it goes with whichever of the two goes first.
 */
#ifndef CI_CODE_H
#define CI_CODE_H

#include "implicit.h"

struct ci_code {
    struct ci_implicit implicit;
    bool is_open;
};

/* Around a call that may load something into the current context, which is on `device`. Of a
 * thread that is relaxed, in both. `estimate_bytes` is charged meanwhile where it fits; nothing
 * is refused, as nothing could be unloaded. */
void ci_code_begin(struct ci_code *code, const struct ci_device *device, uint64_t estimate_bytes);

/* What was seen to go, which is charged to the owner whether it fits or not. */
uint64_t ci_code_end(struct ci_code *code, enum ci_space space, const void *owner);

/* The module is the library's part in the current context, and unloaded with it. */
void ci_code_belongs(CUmodule module, CUlibrary library);

/* The driver has given the handle to a module of its own. */
void ci_code_stands_alone(CUmodule module);

#endif
