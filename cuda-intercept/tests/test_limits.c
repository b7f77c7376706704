/* The texts that say what a share is: what is taken and what is refused. */
#include <string.h>

#include "../src/limits.h"
#include "check.h"

#define UUID "GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01"
#define HEAD "layout 1\nshare s1\nuuid " UUID "\n"

static bool parse(const char *text, struct ci_limits *limits)
{
    return ci_parse_limits(text, strlen(text), limits);
}

/* A whole file is read, in any order, and unknown keys are left to newer readers. */
static void whole_file_is_read(void)
{
    static const unsigned char uuid[CI_UUID_BYTES] = {0x1f, 0x2e, 0x6a, 0x40, 0x5c, 0x0d, 0x4b, 0x7e,
                                                      0x9a, 0x31, 0x0d, 0x6c, 0x1b, 0x8e, 0x7f, 0x01};
    struct ci_limits limits;
    CHECK(parse("cores 30\nnewer thing\n" HEAD "memory 3145728000\npriority -2\ncore_limit soft\n", &limits));
    CHECK(strcmp(limits.share, "s1") == 0);
    CHECK(memcmp(limits.uuid, uuid, sizeof(uuid)) == 0);
    CHECK(limits.memory_bytes == 3145728000ULL);
    CHECK(limits.core_percent == 30);
    CHECK(limits.core_limit == CI_CORES_SOFT);
    CHECK(limits.has_priority && limits.priority == -2);
}

/* All that a claim may ask for, 32 bits with their sign, and nothing beyond. */
static void every_priority_is_read(void)
{
    struct ci_limits limits;
    CHECK(parse(HEAD "memory 1\npriority -2147483648\n", &limits) && limits.priority == INT32_MIN);
    CHECK(parse(HEAD "memory 1\npriority 2147483647\n", &limits) && limits.priority == INT32_MAX);
    CHECK(!parse(HEAD "memory 1\npriority -2147483649\n", &limits));
    CHECK(!parse(HEAD "memory 1\npriority 2147483648\n", &limits));
}

/* Without a word on it a core limit is hard, and absent without cores. */
static void core_limit_follows_cores(void)
{
    struct ci_limits limits;
    CHECK(parse(HEAD "memory 1\ncores 30\n", &limits) && limits.core_limit == CI_CORES_HARD);
    CHECK(parse(HEAD "memory 1\n", &limits) && limits.core_limit == CI_CORES_NONE && !limits.has_priority);
}

/* Anything malformed, repeated, missing, cut short or of another layout is refused. */
static void bad_files_are_refused(void)
{
    static const char *const bad[] = {
        "",
        "\n",
        HEAD,
        HEAD "memory 10",
        HEAD "memory -1\n",
        HEAD "memory 0x10\n",
        HEAD "memory 1k\n",
        HEAD "memory 18446744073709551616\n",
        HEAD "memory 1\nmemory 2\n",
        HEAD "memory 1\ncores 101\n",
        HEAD "memory 1\ncore_limit harder\n",
        HEAD "memory 1\npriority high\n",
        HEAD "memory 1\n\n",
        HEAD "memory\n",
        "layout 2\nshare s\nuuid " UUID "\nmemory 1\n",
        "share s\nuuid " UUID "\nmemory 1\n",
        "layout 1\nuuid " UUID "\nmemory 1\n",
        "layout 1\nshare s\nmemory 1\n",
        "layout 1\nshare s\nuuid GPU-1f2e6a40\nmemory 1\n",
        "layout 1\nshare s\nuuid GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f0g\nmemory 1\n",
    };
    struct ci_limits limits;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!parse(bad[i], &limits) || (fprintf(stderr, "case %zu\n", i), false));
}

/* A share's name that does not fit is refused, not cut. */
static void long_share_is_refused(void)
{
    char text[256] = "layout 1\nuuid " UUID "\nmemory 1\nshare ";
    struct ci_limits limits;
    size_t length = strlen(text);
    memset(text + length, 'a', CI_SHARE_ID_BYTES);
    strcpy(text + length + CI_SHARE_ID_BYTES, "\n");
    CHECK(!parse(text, &limits));
    strcpy(text + length + CI_SHARE_ID_BYTES - 1, "\n");
    CHECK(parse(text, &limits) && strlen(limits.share) == CI_SHARE_ID_BYTES - 1);
}

/* The variable of a share holds the same pairs. */
static void variable_is_read(void)
{
    struct ci_limits limits;
    CHECK(ci_parse_share_variable("uuid=" UUID ",memory=1024,cores=5", &limits));
    CHECK(limits.memory_bytes == 1024 && limits.core_percent == 5);
    CHECK(!ci_parse_share_variable("", &limits));
    CHECK(!ci_parse_share_variable("uuid=" UUID, &limits));
    CHECK(!ci_parse_share_variable("uuid=" UUID ",memory=1,,", &limits));
}

/* Sizes take HAMi-core's suffixes and nothing that overflows. */
static void sizes_are_read(void)
{
    uint64_t bytes = 0;
    CHECK(ci_parse_size("3000m", &bytes) && bytes == 3145728000ULL);
    CHECK(ci_parse_size("2G", &bytes) && bytes == 2147483648ULL);
    CHECK(ci_parse_size("1K", &bytes) && bytes == 1024);
    CHECK(ci_parse_size("77", &bytes) && bytes == 77);
    CHECK(!ci_parse_size("", &bytes));
    CHECK(!ci_parse_size("g", &bytes));
    CHECK(!ci_parse_size("-1m", &bytes));
    CHECK(!ci_parse_size("99999999999999999g", &bytes));
}

int main(void)
{
    whole_file_is_read();
    every_priority_is_read();
    core_limit_follows_cores();
    bad_files_are_refused();
    long_share_is_refused();
    variable_is_read();
    sizes_are_read();
    return failures != 0;
}
