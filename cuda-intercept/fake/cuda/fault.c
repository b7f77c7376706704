#include "fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RULES 8

enum action { FAIL, KILL, KILL_AFTER, HOLD, YIELD };

struct rule {
    enum action action;
    char name[48];
    unsigned call;          /* which one it is, from 1 */
    _Atomic unsigned calls; /* so far */
};

/* Written once, by the first call. */
static struct rule rules[RULES];
static unsigned rule_count;
static pthread_once_t reading = PTHREAD_ONCE_INIT;

static bool read_rule(const char *text, struct rule *rule)
{
    static const char *const actions[] = {"fail", "kill", "kill-after", "hold", "yield"};
    char action[16];
    rule->call = 1;
    if (sscanf(text, "%15[a-z-]:%47[A-Za-z0-9]:%u", action, rule->name, &rule->call) < 2)
        return false;
    for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++) {
        rule->action = (enum action)i;
        if (!strcmp(action, actions[i]))
            return true;
    }
    return false;
}

static void read_rules(void)
{
    const char *text = getenv("FAKE_GPU_FAULTS");
    while (text && *text && rule_count < RULES) {
        if (read_rule(text, &rules[rule_count]))
            rule_count++;
        const char *comma = strchr(text, ',');
        text = comma ? comma + 1 : NULL;
    }
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void hold(void)
{
    const char *path = getenv("FAKE_GPU_HOLD");
    int flags[] = {O_WRONLY, O_RDONLY};
    for (int i = 0; path && i < 2; i++)
        close(open(path, flags[i] | O_CLOEXEC)); /* each waits for the other side */
}

CUresult fg_fault_before(const char *name)
{
    CUresult result = CUDA_SUCCESS;
    pthread_once(&reading, read_rules);
    for (unsigned i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (rule->action >= KILL_AFTER || strcmp(rule->name, name) || ++rule->calls != rule->call)
            continue;
        if (rule->action == KILL)
            die();
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    return result;
}

CUresult fg_fault_after(const char *name, CUresult result)
{
    for (unsigned i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (rule->action < KILL_AFTER || strcmp(rule->name, name))
            continue;
        bool is_meant = rule->action == YIELD || ++rule->calls == rule->call;
        if (is_meant && rule->action == YIELD)
            sched_yield();
        else if (is_meant && rule->action == HOLD)
            hold();
        else if (is_meant)
            die();
    }
    return result;
}
