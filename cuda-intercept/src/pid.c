/*
 * A launch must not pay for a system call. The pid lies on a page that the
 * kernel empties in a child, also after a bare clone, which pthread_atfork
 * misses. Where the kernel cannot (before 4.14), it is asked each time.
 */
#define _GNU_SOURCE
#include "pid.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* Written once; MAP_FAILED where the kernel cannot empty the page. */
static _Atomic(void *) page;

/* Not getpid(): before glibc 2.25 it remembered a parent's pid across a bare clone. */
static uint32_t ask(void)
{
    return (uint32_t)syscall(SYS_getpid);
}

static void *make_page(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made != MAP_FAILED && madvise(made, bytes, MADV_WIPEONFORK) != 0) {
        munmap(made, bytes);
        made = MAP_FAILED;
    }
    void *first = NULL;
    if (atomic_compare_exchange_strong(&page, &first, made))
        return made;
    if (made != MAP_FAILED)
        munmap(made, bytes);
    return first;
}

uint32_t ci_pid(void)
{
    void *known = atomic_load_explicit(&page, memory_order_acquire);
    if (known == NULL)
        known = make_page();
    if (known == MAP_FAILED)
        return ask();
    _Atomic uint32_t *pid = known;
    uint32_t value = atomic_load_explicit(pid, memory_order_relaxed);
    if (value == 0) {
        value = ask();
        atomic_store_explicit(pid, value, memory_order_relaxed);
    }
    return value;
}
