/* gpu-watch: what really ran on the first GPU, as no driver would tell: lines of
 * "time-ns pid busy-ns", one per process and look, from the simulated device. */
#include "../device/clock.h"
#include "../device/machine.h"
#include "../device/queue.h"
#include "../device/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NS_PER_MS 1000000ull

static void look(void)
{
    static struct fg_process_report found[FG_MAX_PROCESSES];
    const struct fg_schedule *schedule = fg_queue_hold(0);
    unsigned count = fg_state_processes(0, found, FG_MAX_PROCESSES);
    for (unsigned i = 0; i < count; i++)
        printf("%" PRIu64 " %d %" PRIu64 "\n", schedule->at_ns, (int)found[i].pid,
               schedule->owners[found[i].number].busy_ns);
    fg_queue_release(0);
}

int main(int count, char **arguments)
{
    uint64_t period_ns = (count == 3 ? strtoull(arguments[1], NULL, 10) : 0) * NS_PER_MS;
    uint64_t looks = count == 3 ? strtoull(arguments[2], NULL, 10) : 0;
    if (!period_ns || !looks) {
        fputs("usage: gpu-watch PERIOD_MS LOOKS\n", stderr);
        return 2;
    }
    if (!fg_machine_load())
        return EXIT_FAILURE;
    uint64_t next_ns = fg_clock_now();
    for (uint64_t i = 0; i < looks; i++) {
        fg_clock_wait(next_ns += period_ns);
        look();
    }
    return 0;
}
