/* Which folders of a container count as shares, and what variables say. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../include/share_env.h"
#include "../src/config.h"
#include "check.h"

#define SHARES CI_ROOT HAMI_SHARES_DIR
#define OPENAT2 437
#define UUID "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01"

static void write_file(const char *path, const char *text, off_t size)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0666);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || (size > 0 && ftruncate(fd, size) != 0))
        abort();
    close(fd);
}

static void start_over(void)
{
    if (system("rm -rf '" CI_ROOT "' && mkdir -p '" SHARES "' '" CI_ROOT "/etc'") != 0)
        abort();
    write_file(CI_ROOT HAMI_PRELOAD_PATH, HAMI_CONTAINER_LIBRARY_STEM "1.0-abc.so\n", 0);
}

static void make_share(const char *folder, const char *share)
{
    char path[512];
    char text[512];
    snprintf(path, sizeof(path), SHARES "/%s", folder);
    if (mkdir(path, 0755) != 0)
        abort();
    snprintf(text, sizeof(text), "layout 1\nshare %s\nuuid " UUID "\nmemory 1000\n", share);
    snprintf(path, sizeof(path), SHARES "/%s/limits", folder);
    write_file(path, text, 0);
    snprintf(path, sizeof(path), SHARES "/%s/node", folder);
    write_file(path, "", HAMI_NODE_BYTES);
    snprintf(path, sizeof(path), SHARES "/%s/usage", folder);
    write_file(path, "", HAMI_USAGE_FILE_BYTES);
}

static void read_files(struct ci_config *config)
{
    dev_t device;
    memset(config, 0, sizeof(*config));
    CHECK(ci_preload_names_us(&device));
    ci_config_from_files(config, device);
    CHECK(config->mode == CI_MODE_FILES);
}

/* Shares are read in the order of their ids, whatever the order of the folder. */
static void shares_are_sorted(void)
{
    struct ci_config config;
    start_over();
    make_share("b", "b");
    make_share("c", "c");
    make_share("a", "a");
    read_files(&config);
    CHECK(config.count == 3);
    CHECK(strcmp(config.shares[0].limits.share, "a") == 0 && strcmp(config.shares[2].limits.share, "c") == 0);
    CHECK(config.shares[0].region.base != NULL && config.shares[0].node != NULL);
    int fd = ci_share_open_usage(&config.shares[0]);
    CHECK(fd >= 0);
    close(fd);
}

/* A link to a share, a folder that says another name, or one without its files adds nothing. */
static void imitations_are_ignored(void)
{
    struct ci_config config;
    start_over();
    make_share("a", "a");
    make_share("b", "a");
    make_share("c", "c");
    CHECK(symlink("a", SHARES "/d") == 0);
    CHECK(unlink(SHARES "/c/limits") == 0 && symlink("../a/limits", SHARES "/c/limits") == 0);
    CHECK(mkdir(SHARES "/e", 0755) == 0);
    make_share("f", "f");
    CHECK(unlink(SHARES "/f/node") == 0);
    read_files(&config);
    CHECK(config.count == 1 && strcmp(config.shares[0].limits.share, "a") == 0);
}

/* Another container's folder, reached by a link, is not this one's. */
static void linked_folders_are_ignored(void)
{
    struct ci_config config;
    start_over();
    make_share("a", "a");
    CHECK(rename(SHARES, CI_ROOT "/elsewhere") == 0 && symlink(CI_ROOT "/elsewhere", SHARES) == 0);
    read_files(&config);
    CHECK(config.count == 0);
    start_over();
    make_share("a", "a");
    CHECK(rename(CI_ROOT "/run", CI_ROOT "/elsewhere") == 0 && symlink(CI_ROOT "/elsewhere", CI_ROOT "/run") == 0);
    read_files(&config);
    CHECK(config.count == 0);
}

/* A folder on another device than the preload file is a tenant's. */
static void other_devices_are_ignored(void)
{
    struct ci_config config = {0};
    struct stat status;
    start_over();
    make_share("a", "a");
    CHECK(stat(SHARES, &status) == 0);
    ci_config_from_files(&config, status.st_dev + 1);
    CHECK(config.count == 0 && config.mode == CI_MODE_FILES);
}

/* A share whose ledger is too small is known, and closed. */
static void truncated_usage_leaves_a_closed_share(void)
{
    struct ci_config config;
    start_over();
    make_share("a", "a");
    CHECK(truncate(SHARES "/a/usage", 100) == 0);
    read_files(&config);
    CHECK(config.count == 1 && config.shares[0].region.base == NULL);
}

/* Without our line in the preload file the container is not ours. */
static void preload_of_others_is_not_ours(void)
{
    dev_t device;
    start_over();
    write_file(CI_ROOT HAMI_PRELOAD_PATH, "/usr/lib/libother.so\n", 0);
    CHECK(!ci_preload_names_us(&device));
    CHECK(unlink(CI_ROOT HAMI_PRELOAD_PATH) == 0);
    CHECK(!ci_preload_names_us(&device));
}

/* Ours may stand behind many others. */
static void long_preload_is_read_whole(void)
{
    char text[3 * 4096] = "";
    dev_t device;
    start_over();
    while (strlen(text) < 2 * 4096)
        strcat(text, "/usr/lib/libother.so\n");
    write_file(CI_ROOT HAMI_PRELOAD_PATH, text, 0);
    CHECK(!ci_preload_names_us(&device));
    strcat(text, HAMI_CONTAINER_LIBRARY_STEM "1.0-abc.so\n");
    write_file(CI_ROOT HAMI_PRELOAD_PATH, text, 0);
    CHECK(ci_preload_names_us(&device) && device != 0);
}

/* As on kernels without the call, and in containers whose rules are older than it. */
static void forbid_openat2(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OPENAT2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(syscall(OPENAT2, AT_FDCWD, "/", NULL, 0) < 0 && errno == EPERM);
}

/* HAMI_SHARE_<ID> makes one share each; HAMi-core's variables count only without any. */
static void variables_make_shares(void)
{
    char *named[] = {"HAMI_SHARE_A=uuid=" UUID ",memory=10,cores=5", "HAMI_SHARE_=uuid=" UUID ",memory=10",
                     "HAMI_SHARE_B=memory=10", "CUDA_DEVICE_MEMORY_LIMIT=1g", NULL};
    struct ci_config config = {0};
    ci_config_from_variables(&config, named);
    CHECK(config.count == 1 && config.mode == CI_MODE_VARIABLES);
    CHECK(config.shares[0].limits.memory_bytes == 10 && config.shares[0].limits.core_limit == CI_CORES_HARD);
}

/* HAMi-core's limits are by device number, and the numbered one wins. */
static void core_variables_are_by_number(void)
{
    char *limits[] = {"CUDA_DEVICE_MEMORY_LIMIT=1g", "CUDA_DEVICE_MEMORY_LIMIT_1=512m", "CUDA_DEVICE_SM_LIMIT_1=40",
                      "CUDA_DEVICE_SM_LIMIT=100", NULL};
    struct ci_config config = {0};
    ci_config_from_variables(&config, limits);
    CHECK(config.count == 16);
    CHECK(config.shares[0].limits.memory_bytes == 1 << 30 && config.shares[0].limits.core_percent == 0);
    CHECK(config.shares[1].limits.memory_bytes == 512 << 20 && config.shares[1].limits.core_percent == 40);
    CHECK(config.shares[1].limits.ordinal == 1);
}

/* Nothing said is nothing limited. */
static void no_variables_limit_nothing(void)
{
    char *nothing[] = {"PATH=/bin", "CUDA_DEVICE_MEMORY_LIMIT=0", NULL};
    struct ci_config config = {0};
    ci_config_from_variables(&config, nothing);
    CHECK(config.count == 0 && config.mode == CI_MODE_UNLIMITED);
}

static void files_make_shares(void)
{
    shares_are_sorted();
    imitations_are_ignored();
    linked_folders_are_ignored();
    other_devices_are_ignored();
    truncated_usage_leaves_a_closed_share();
}

int main(void)
{
    files_make_shares();
    preload_of_others_is_not_ours();
    long_preload_is_read_whole();
    variables_make_shares();
    core_variables_are_by_number();
    no_variables_limit_nothing();
    forbid_openat2();
    files_make_shares();
    return failures != 0;
}
