/* The remembered pid is the right one in every process. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/pid.h"
#include "check.h"

static int in_child(long child)
{
    if (child == 0)
        _exit(ci_pid() == (uint32_t)getpid() && ci_pid() != (uint32_t)getppid() ? 0 : 1);
    int status = -1;
    CHECK(child > 0 && waitpid((pid_t)child, &status, 0) == child);
    return status;
}

/* Asked again and again it says what getpid() says. */
static void own_pid_is_known(void)
{
    for (int i = 0; i < 3; i++)
        CHECK(ci_pid() == (uint32_t)getpid());
}

/* A child does not take itself for its parent. */
static void forked_child_knows_itself(void)
{
    CHECK(in_child(fork()) == 0);
}

/* No fork handler runs for a bare clone. */
static void cloned_child_knows_itself(void)
{
    CHECK(in_child(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)) == 0);
}

int main(void)
{
    own_pid_is_known();
    forked_child_knows_itself();
    cloned_child_knows_itself();
    own_pid_is_known();
    return failures != 0;
}
