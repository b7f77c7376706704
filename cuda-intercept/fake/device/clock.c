#include "clock.h"

#include <errno.h>
#include <time.h>

#define SECOND_NS 1000000000ull

uint64_t fg_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void fg_clock_wait(uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / SECOND_NS),
        .tv_nsec = (long)(until_ns % SECOND_NS),
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}
