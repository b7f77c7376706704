/* What a C test needs: each check says where it failed, and the test goes on. */
#ifndef CI_CHECK_H
#define CI_CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition);                    \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

#endif
