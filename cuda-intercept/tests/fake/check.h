/* A small test harness. Every test runs in a child process of its own, on a
 * machine of its own: a temporary driver root that FAKE_GPU_ROOT names. */
#ifndef FG_CHECK_H
#define FG_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define MIB (1ull << 20)

/* Ends the test unless both numbers are the same. */
#define CHECK_EQUAL(actual, expected)                                                              \
    do {                                                                                           \
        long long check_actual = (long long)(actual), check_expected = (long long)(expected);      \
        if (check_actual != check_expected) {                                                      \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #actual,          \
                    check_actual, check_expected);                                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define CHECK(condition) CHECK_EQUAL(!!(condition), 1)

struct test {
    const char *name;
    const char *says; /* what holds, in one sentence */
    void (*run)(void);
    const char *profile; /* NULL: two GPUs of 1 GiB */
};

/* Runs all tests of a table that ends with an empty entry; for main(). */
int run_tests(const struct test *tests);

/* Runs the function in a child process and returns its pid; the child ends
 * with the function's result. */
pid_t start(int (*run)(int), int argument);

/* Waits for the child and returns its exit status, or 128 + signal. */
int finish(pid_t child);

/* One-way signals between a test and its children. */
struct gate {
    int ends[2];
};
struct gate make_gate(void);
void open_gate(const struct gate *gate);
void pass_gate(const struct gate *gate);

/* Removes or makes the device node of a GPU. */
void hide_gpu(unsigned minor);

#endif
