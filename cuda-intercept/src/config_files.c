/*
 * The shares that the kubelet plugin mounted into this container.
 *
 * A tenant can make folders and links beside the mounted ones, and the shares
 * of a GPU add up: so a share counts only if its files lie on the device of the
 * mounted /etc/ld.so.preload, are reached without any link (one could lead into
 * another container by /proc), and say the name of their own folder.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../include/share_env.h"
#include "config.h"

#define PRELOAD_USUAL_BYTES 4096
#define PRELOAD_MAX_BYTES 65536
#define OPEN_HOW 437 /* openat2, of Linux 5.6, which older headers do not name */
#define NO_LINKS 4

/* As the kernel reads it. */
struct opening {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

/* The whole file, or -1 when it does not fit. */
static ssize_t read_file(int fd, char *buffer, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = pread(fd, buffer + length, size - length, (off_t)length);
        if (got < 0)
            return -1;
        if (got == 0)
            return (ssize_t)length;
        length += (size_t)got;
    }
    return -1;
}

static bool names_us(const char *text, size_t length)
{
    static const char stem[] = HAMI_CONTAINER_LIBRARY_STEM;
    return memmem(text, length, stem, sizeof(stem) - 1) != NULL;
}

/* Where the preload file cannot be read (any more), what we were loaded as tells. */
static bool loaded_as_mounted(void)
{
    Dl_info info;
    return dladdr((void *)loaded_as_mounted, &info) != 0 && info.dli_fname != NULL &&
           names_us(info.dli_fname, strlen(info.dli_fname));
}

/* Memory of the heap is asked for only where the file is unusually long: this is the most
 * costly part of a start. */
static bool read_preload(int fd, off_t bytes)
{
    char usual[PRELOAD_USUAL_BYTES];
    size_t size = bytes < PRELOAD_USUAL_BYTES ? sizeof(usual) : PRELOAD_MAX_BYTES;
    char *text = size == sizeof(usual) ? usual : malloc(size);
    ssize_t length = text == NULL ? -1 : read_file(fd, text, size);
    bool ours = length > 0 && names_us(text, (size_t)length);
    if (text != usual)
        free(text);
    return ours;
}

bool ci_preload_names_us(dev_t *device)
{
    struct stat status;
    bool ours = false;
    *device = 0; /* no file lies there: without the preload file no share counts */
    int fd = open(CI_ROOT HAMI_PRELOAD_PATH, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        ours = read_preload(fd, status.st_size);
        *device = status.st_dev;
    }
    if (fd >= 0)
        close(fd);
    return ours || loaded_as_mounted();
}

/* A regular file on `device`, or -1. */
static int open_mounted(int folder, const char *name, int flags, dev_t device, struct stat *status)
{
    int fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, status) != 0 || !S_ISREG(status->st_mode) || status->st_dev != device)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool read_limits(int folder, const char *name, dev_t device, struct ci_limits *limits)
{
    char text[HAMI_LIMITS_MAX_BYTES + 1];
    struct stat status;
    int fd = open_mounted(folder, HAMI_LIMITS_FILE, O_RDONLY, device, &status);
    if (fd < 0)
        return false;
    ssize_t length = read_file(fd, text, sizeof(text));
    close(fd);
    return length > 0 && ci_parse_limits(text, (size_t)length, limits) && strcmp(limits->share, name) == 0;
}

static bool map_node(int folder, dev_t device, const unsigned char **node)
{
    struct stat status;
    int fd = open_mounted(folder, HAMI_NODE_FILE, O_RDONLY, device, &status);
    if (fd < 0)
        return false;
    void *page = MAP_FAILED;
    if (status.st_size >= HAMI_NODE_BYTES)
        page = mmap(NULL, HAMI_NODE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    *node = page == MAP_FAILED ? NULL : page;
    return *node != NULL;
}

static bool map_usage(int folder, dev_t device, struct ci_share *share)
{
    struct stat status;
    int fd = open_mounted(folder, HAMI_USAGE_FILE, O_RDWR, device, &status);
    if (fd < 0)
        return false;
    share->device = status.st_dev;
    share->inode = status.st_ino;
    /* too small a file leaves the region unusable: the share is known, but closed */
    if (ci_region_map(&share->region, fd))
        ci_region_prepare(&share->region, fd);
    close(fd);
    return true;
}

static int open_folder(int parent, const char *name)
{
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static bool read_share(int shares, const char *name, dev_t device, struct ci_share *share)
{
    int folder = open_folder(shares, name);
    if (folder < 0)
        return false;
    *share = (struct ci_share){.region = {NULL, CI_NO_SLOT}};
    bool valid = read_limits(folder, name, device, &share->limits) && map_node(folder, device, &share->node);
    if (valid && !map_usage(folder, device, share)) {
        munmap((void *)share->node, HAMI_NODE_BYTES);
        valid = false;
    }
    close(folder);
    return valid;
}

static int by_id(const void *left, const void *right)
{
    return strcmp(((const struct ci_share *)left)->limits.share, ((const struct ci_share *)right)->limits.share);
}

/* -1 also where the kernel has no such call, or a container may not make it. */
static int open_at_once(int root, const char *path)
{
    struct opening how = {O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, NO_LINKS};
    return (int)syscall(OPEN_HOW, root, path, &how, sizeof(how));
}

static int open_one_by_one(int root, char *path)
{
    char *rest = NULL;
    int fd = open_folder(root, strtok_r(path, "/", &rest));
    for (char *name = strtok_r(NULL, "/", &rest); fd >= 0 && name != NULL; name = strtok_r(NULL, "/", &rest)) {
        int next = open_folder(fd, name);
        close(fd);
        fd = next;
    }
    return fd;
}

/* HAMI_SHARES_DIR with no link on the way, or NULL. */
static DIR *open_shares(void)
{
    char path[] = HAMI_SHARES_DIR;
    int root = open(CI_ROOT "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return NULL;
    int fd = open_at_once(root, path + 1);
    if (fd < 0)
        fd = open_one_by_one(root, path);
    close(root);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL && fd >= 0)
        close(fd);
    return folder;
}

void ci_config_from_files(struct ci_config *config, dev_t device)
{
    config->mode = CI_MODE_FILES;
    DIR *folder = open_shares();
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.' || config->count == CI_MAX_SHARES)
            continue;
        if (read_share(dirfd(folder), entry->d_name, device, &config->shares[config->count]))
            config->count++;
    }
    closedir(folder);
    qsort(config->shares, (size_t)config->count, sizeof(config->shares[0]), by_id);
}

int ci_share_open_usage(const struct ci_share *share)
{
    char path[sizeof(CI_ROOT HAMI_SHARES_DIR) + CI_SHARE_ID_BYTES + sizeof(HAMI_USAGE_FILE) + 2];
    char *end = stpcpy(path, CI_ROOT HAMI_SHARES_DIR "/");
    end = stpcpy(end, share->limits.share);
    stpcpy(stpcpy(end, "/"), HAMI_USAGE_FILE);
    struct stat status;
    int fd = open_mounted(AT_FDCWD, path, O_RDWR, share->device, &status);
    if (fd >= 0 && status.st_ino != share->inode) {
        close(fd);
        fd = -1;
    }
    return fd;
}
