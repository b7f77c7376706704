#include "check.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char default_profile[] =
    "driver 580.95.05\nnvml 13.580.95.05\ncuda 13000\nkernel_ns 1000\n"
    "name Test GPU\nmemory_bytes 1073741824\ncompute_major 9\narchitecture 9\n"
    "gpu 0\nuuid GPU-00000000-0000-4000-8000-0000000000a0\npci 00000000:01:00.0\nnuma_node 0\n"
    "nvlink 00000000:02:00.0\n"
    "gpu 1\nuuid GPU-00000000-0000-4000-8000-0000000000b1\npci 00000000:02:00.0\nnuma_node 1\n"
    "nvlink 00000000:01:00.0\n";

static char root[] = "/tmp/fake-gpu-test-XXXXXX";

static void put_file(const char *path, const char *content)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *file = fopen(full, "w");
    CHECK(file && fputs(content, file) >= 0 && !fclose(file));
}

static void make_root(const char *profile)
{
    static const char *const folders[] = {
        "etc", "etc/fake-gpu", "dev", "var", "var/lib", "var/lib/fake-gpu"};
    strcpy(root + strlen(root) - 6, "XXXXXX");
    CHECK(mkdtemp(root));
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        CHECK_EQUAL(mkdir(path, 0755), 0);
    }
    put_file("etc/fake-gpu/profile", profile ? profile : default_profile);
    put_file("var/lib/fake-gpu/state", "");
    put_file("dev/nvidia0", "");
    put_file("dev/nvidia1", "");
    setenv("FAKE_GPU_ROOT", root, 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

int finish(pid_t child)
{
    int status = 0;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t start(int (*run)(int), int argument)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child)
        exit(run(argument));
    return child;
}

static int run_test(const struct test *test)
{
    make_root(test->profile);
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
        alarm(30);
        test->run();
        exit(0);
    }
    int status = finish(child);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    printf("%s %s: %s\n", status ? "FAILED" : "ok", test->name, test->says);
    fflush(stdout);
    return status != 0;
}

int run_tests(const struct test *tests)
{
    int failed = 0;
    for (; tests->name; tests++)
        failed += run_test(tests);
    return failed != 0;
}

struct gate make_gate(void)
{
    struct gate gate;
    CHECK_EQUAL(pipe(gate.ends), 0);
    return gate;
}

void open_gate(const struct gate *gate)
{
    CHECK_EQUAL(write(gate->ends[1], "", 1), 1);
}

void pass_gate(const struct gate *gate)
{
    char byte;
    CHECK_EQUAL(read(gate->ends[0], &byte, 1), 1);
}

void hide_gpu(unsigned minor)
{
    char path[256];
    snprintf(path, sizeof path, "%s/dev/nvidia%u", root, minor);
    CHECK_EQUAL(unlink(path), 0);
}
