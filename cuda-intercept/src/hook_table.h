/* The generated table of every symbol that we hook or call. */
#ifndef CI_HOOK_TABLE_H
#define CI_HOOK_TABLE_H

#include "generated/hooks.h"

enum ci_treatment { CI_TREAT_PASS, CI_TREAT_CHARGE, CI_TREAT_UNCHARGE, CI_TREAT_GATE, CI_TREAT_FOLLOW, CI_TREAT_REPORT };
enum ci_library { CI_LIBRARY_CUDA, CI_LIBRARY_NVML };

struct ci_hook {
    const char *name;
    const char *base;
    void *hook; /* NULL: we only call it */
    int version;
    enum ci_treatment treatment;
    enum ci_library library;
    bool per_thread;
};

extern const struct ci_hook ci_hooks[CI_SYMBOL_COUNT];

#endif
