/* The launch budget, what a launch is taken to cost, and on what terms it is paid,
 * each with a clock and a node page of the test's own. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../src/budget.h"
#include "../src/config.h"
#include "../src/cost.h"
#include "../src/region_layout.h"
#include "../src/terms.h"
#include "check.h"

#define MS 1000000ULL
#define START (1000 * MS)
#define SLACK CI_BUDGET_SLACK_NS

static struct ci_region make_region(void)
{
    struct ci_region region;
    if (!ci_region_map_private(&region))
        abort();
    return region;
}

/* A share of p percent gets p percent of a time, whatever its launches' lengths. */
static void percent_of_time_is_given_out(void)
{
    static const uint64_t lengths[] = {5000, 70000, 2 * MS, 500 * MS};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct ci_region region = make_region();
        uint64_t now = START;
        uint64_t given = 0;
        uint64_t end = START + 100000 * MS;
        while (now < end) {
            uint64_t wait = ci_budget_take(&region, (int64_t)lengths[i], 30, now);
            given += wait == 0 ? lengths[i] : 0;
            now += wait;
        }
        uint64_t wanted = 30000 * MS;
        CHECK(given >= wanted && given <= wanted + lengths[i] + SLACK);
        CHECK(ci_region_total(&region, HAMI_TOTAL_GPU_NS) == given);
        ci_region_unmap(&region);
    }
}

/* A kernel of a minute in a share of 5 % is followed by a pause of twenty. */
static void minutes_are_paid_back_as_well(void)
{
    static const uint64_t minutes[] = {1, 10, 60};
    for (size_t i = 0; i < sizeof(minutes) / sizeof(*minutes); i++) {
        struct ci_region region = make_region();
        uint64_t run = minutes[i] * 60000 * MS;
        CHECK(ci_budget_take(&region, MS, 5, START) == 0); /* of a function that nobody knows yet */
        ci_budget_settle(&region, (int64_t)(run - MS), 5);
        uint64_t wait = ci_budget_take(&region, MS, 5, START + run);
        CHECK(wait + SLACK == 19 * run);
        CHECK(ci_budget_debt(&region, START + run) == wait);
        CHECK(ci_budget_take(&region, MS, 5, START + run + wait) == 0);
        ci_region_unmap(&region);
    }
}

static void unused_time_is_lost_but_for_the_slack(void)
{
    struct ci_region region = make_region();
    CHECK(ci_budget_take(&region, MS, 50, START) == 0);
    uint64_t later = START + 5000 * MS;
    CHECK(ci_budget_idle(&region, later) == SLACK);
    int taken = 0;
    while (ci_budget_take(&region, MS, 50, later) == 0)
        taken++;
    CHECK(taken == 21);
    CHECK(ci_budget_debt(&region, later) == 2 * MS);
}

static void settling_moves_the_debt_both_ways(void)
{
    struct ci_region region = make_region();
    CHECK(ci_budget_take(&region, 10 * MS, 10, START) == 0);
    uint64_t debt = ci_budget_debt(&region, START);
    ci_budget_settle(&region, (int64_t)(5 * MS), 10);
    CHECK(ci_budget_debt(&region, START) == debt + 50 * MS);
    ci_budget_settle(&region, -(int64_t)(5 * MS), 10);
    CHECK(ci_budget_debt(&region, START) == debt);
    CHECK(ci_region_total(&region, HAMI_TOTAL_GPU_NS) == 10 * MS);
}

/* A damaged word must neither block launches for ever nor give time away. */
static void a_damaged_word_is_no_debt(void)
{
    struct ci_region region = make_region();
    ci_region_set(&region, HAMI_TOTAL_PAID_UNTIL_NS, UINT64_MAX - 5);
    CHECK(ci_budget_debt(&region, START) == 0);
    CHECK(ci_budget_take(&region, 100 * MS, 50, START) == 0);
    CHECK(ci_budget_debt(&region, START) == 200 * MS - SLACK);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Of three seconds one was spent, one is what the GPU is at or has done sooner, and one was never used. */
static bool leave_much_behind(struct ci_region *region, unsigned int percent, bool has_run)
{
    uint64_t until = clock_ns() + 1000 * MS;
    bool taken = ci_budget_take(region, (int64_t)(3000 * MS), percent, clock_ns()) == 0;
    ci_budget_lease(region, (int64_t)(1000 * MS), percent);
    ci_budget_run(region, until, percent);
    ci_budget_ran(region, has_run ? until : until - 1);
    return taken;
}

/* How much of those three seconds the others owe, on the wall clock. */
static uint64_t owed_after_death(unsigned int percent, bool has_run)
{
    int fd = memfd_create("usage", 0);
    struct ci_region region;
    if (fd < 0 || ftruncate(fd, HAMI_USAGE_FILE_BYTES) != 0 || !ci_region_map(&region, fd))
        abort();
    CHECK(ci_region_set_up(&region));
    pid_t child = fork();
    if (child == 0)
        _exit(!ci_region_join(&region, fd) || !leave_much_behind(&region, percent, has_run));
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    uint64_t at = clock_ns();
    CHECK(ci_budget_debt(&region, at) > 0);
    ci_region_sweep(&region);
    uint64_t debt = ci_budget_debt(&region, at);
    close(fd);
    ci_region_unmap(&region);
    return debt;
}

static void what_the_dead_had_unused_comes_back(void)
{
    uint64_t debt = owed_after_death(50, false);
    CHECK(debt > 1800 * MS && debt < 2900 * MS);
}

/* It was charged for what it took, and the rest given back, when that was known. */
static void what_has_run_does_not_come_back(void)
{
    uint64_t debt = owed_after_death(50, true);
    CHECK(debt > 3800 * MS && debt < 4900 * MS);
}

/* A share without core limit is paced a little faster than the GPU works. */
static void so_it_does_where_all_of_the_gpu_is_given(void)
{
    struct ci_limits limits = {.has_priority = true, .core_limit = CI_CORES_NONE};
    CHECK(owed_after_death(ci_terms_of(&limits, NULL, START).percent, false) < 1200 * MS);
}

static void takers_are_told_apart(void)
{
    struct ci_region region = make_region();
    uint32_t first = ci_budget_turn(&region, 7);
    CHECK(ci_budget_turn(&region, 7) == first);
    CHECK(ci_budget_turn(&region, 8) == first + 1);
    CHECK(ci_budget_turns(&region) == first + 1);
}

static void use_is_told_for_the_last_second(void)
{
    struct ci_region region = make_region();
    CHECK(ci_budget_used_percent(&region, START) == 0);
    for (uint64_t at = START; at < START + 4000 * MS; at += 5 * MS)
        ci_budget_take(&region, (int64_t)(2 * MS), 50, at);
    unsigned int used = ci_budget_used_percent(&region, START + 4000 * MS);
    CHECK(used >= 39 && used <= 41);
    CHECK(ci_budget_used_percent(&region, START + 60000 * MS) < 5);
}

static const void *const work = &failures;

static void the_mean_is_charged_where_nobody_else_works(void)
{
    CHECK(ci_cost_find(work, 1024).gpu_ns == 0);
    for (int i = 0; i < 100; i++)
        CHECK(ci_cost_learn(work, 1024, i % 2 == 0 ? 1000 : 3000, CI_TIME_EXACT) == (i % 2 == 0 ? 1000 : 3000));
    CHECK(ci_cost_find(work, 1024).is_known);
    CHECK(ci_cost_find(work, 1024).gpu_ns > 1500 && ci_cost_find(work, 1024).gpu_ns < 2500);
}

static void the_least_is_charged_where_others_do(void)
{
    const void *other = &work;
    for (int i = 0; i < 100; i++)
        ci_cost_learn(other, 0, i % 5 == 0 ? 1000 : 9000, CI_TIME_SHARED);
    CHECK(ci_cost_find(other, 0).gpu_ns == 1000);
    for (int i = 0; i < 20; i++)
        ci_cost_learn(other, 0, 5000, CI_TIME_SHARED);
    CHECK(ci_cost_find(other, 0).gpu_ns == 5000);
}

static void another_size_is_guessed_from_the_known_one(void)
{
    const char *third = "third";
    ci_cost_learn(third, 1 << 20, 1000000, CI_TIME_EXACT);
    struct ci_cost guess = ci_cost_find(third, 1 << 22);
    CHECK(!guess.is_known && guess.gpu_ns > 3900000 && guess.gpu_ns < 4100000);
    CHECK(!ci_cost_find(third, 0).is_known);
}

/* The other processes of a share wait for what one was taken to need. */
static void a_guess_is_no_more_than_a_second(void)
{
    const char *lone = "lone";
    ci_cost_learn(lone, 1, (int64_t)(10000 * MS), CI_TIME_EXACT);
    for (int shift = 4; shift < 64; shift++) {
        int64_t guess = ci_cost_find(lone, 1ULL << shift).gpu_ns;
        CHECK(guess > 0 && guess <= (int64_t)(1000 * MS));
    }
}

static void few_threads_are_guessed_as_well(void)
{
    const char *wide = "wide";
    ci_cost_learn(wide, 64, 64000000, CI_TIME_EXACT);
    CHECK(ci_cost_find(wide, 1).gpu_ns > 900000);
    CHECK(ci_cost_find(wide, 3).gpu_ns > 2900000);
}

static void a_few_measurements_are_not_sure(void)
{
    const char *fifth = "fifth";
    for (int i = 0; i < 8; i++) {
        CHECK(!ci_cost_find(fifth, 0).is_sure);
        ci_cost_learn(fifth, 0, 5000, CI_TIME_SHARED);
    }
    CHECK(ci_cost_find(fifth, 0).is_sure);
}

static void time_on_the_host_says_nothing_beside_exact_times(void)
{
    const char *sixth = "sixth";
    for (int i = 0; i < 40; i++)
        ci_cost_learn(sixth, 0, 8000, CI_TIME_EXACT);
    for (int i = 0; i < 8; i++)
        CHECK(ci_cost_learn(sixth, 0, 5000, CI_TIME_ROUGH) == 0);
    CHECK(ci_cost_find(sixth, 0).gpu_ns == 8000);
    CHECK(ci_cost_learn(sixth, 0, 5000, CI_TIME_ROUGH) == 5000); /* there is nothing else any more */
    CHECK(ci_cost_find(sixth, 0).gpu_ns == 5000);
    CHECK(ci_cost_learn("seventh", 0, 5000, CI_TIME_ROUGH) == 5000); /* nor was there anything before */
}

static void an_exact_time_among_them_keeps_them_out(void)
{
    const char *eighth = "eighth";
    for (int i = 0; i < 40; i++)
        CHECK(ci_cost_learn(eighth, 0, 8000, i % 8 == 0 || i < 8 ? CI_TIME_EXACT : CI_TIME_ROUGH) ==
              (i % 8 == 0 || i < 8 ? 8000 : 0));
}

static void a_function_that_varies_is_known_as_such(void)
{
    const char *steady = "steady", *varying = "varying";
    for (int i = 0; i < 200; i++) {
        ci_cost_learn(steady, 0, 8000 + 100 * (i % 3), CI_TIME_EXACT);
        ci_cost_learn(varying, 0, i % 5 == 0 ? 20000 : 5000, CI_TIME_EXACT);
    }
    CHECK(!ci_cost_find(steady, 0).varies);
    CHECK(ci_cost_find(varying, 0).varies);
    for (int i = 0; i < 16; i++)
        ci_cost_learn(varying, 0, 5000, CI_TIME_EXACT);
    CHECK(ci_cost_find(varying, 0).varies); /* a few like ones change nothing */
}

static void a_function_that_varies_beside_others_is_known_as_such(void)
{
    const char *cut = "now and then with a slice of others in it", *varying = "varying beside others";
    for (int i = 0; i < 300; i++) {
        ci_cost_learn(cut, 0, i % 20 == 7 ? 4000000 : 5000 + 2000 * (i % 3), CI_TIME_SHARED);
        ci_cost_learn(varying, 0, i % 8 == 7 ? 10000 : 1900000, CI_TIME_SHARED);
    }
    CHECK(!ci_cost_find(cut, 0).varies);
    CHECK(ci_cost_find(varying, 0).varies);
}

/* There is room for some thousands. */
static void a_function_that_takes_the_place_of_another_is_new(void)
{
    static const char functions[20000];
    for (int i = 0; i < 10000; i++) {
        for (int run = 0; run < 100; run++)
            ci_cost_learn(&functions[i], 0, run % 2 == 0 ? 1000 : 200000, CI_TIME_EXACT);
        CHECK(ci_cost_find(&functions[i], 0).varies);
    }
    for (int i = 10000; i < 20000; i++) {
        ci_cost_learn(&functions[i], 0, 5000, CI_TIME_EXACT);
        CHECK(!ci_cost_find(&functions[i], 0).varies);
    }
}

/* A node page as the plugin writes it. */
static unsigned char *make_page(uint64_t heartbeat, uint32_t gate, uint32_t correction, uint32_t others)
{
    static _Alignas(8) unsigned char page[HAMI_NODE_BYTES];
    uint64_t magic = HAMI_NODE_MAGIC;
    uint32_t version = HAMI_NODE_LAYOUT;
    memcpy(page + HAMI_NODE_OFFSET_MAGIC, &magic, 8);
    memcpy(page + HAMI_NODE_OFFSET_LAYOUT, &version, 4);
    memcpy(page + HAMI_NODE_OFFSET_HEARTBEAT_NS, &heartbeat, 8);
    memcpy(page + HAMI_NODE_OFFSET_GATE, &gate, 4);
    memcpy(page + HAMI_NODE_OFFSET_CORRECTION, &correction, 4);
    memcpy(page + HAMI_NODE_OFFSET_OTHERS, &others, 4);
    return page;
}

static unsigned int percent_of(enum ci_core_limit limit, unsigned int cores, const unsigned char *page)
{
    struct ci_limits limits = {.core_percent = cores, .core_limit = limit};
    return ci_terms_of(&limits, page, START).percent;
}

static void only_a_fresh_page_loosens(void)
{
    uint64_t stale = START - HAMI_NODE_STALE_NS;
    CHECK(percent_of(CI_CORES_SOFT, 30, make_page(START, 0, 0, HAMI_OTHERS_IDLE)) > 100);
    CHECK(percent_of(CI_CORES_SOFT, 30, make_page(stale, 0, 0, HAMI_OTHERS_IDLE)) == 30);
    CHECK(percent_of(CI_CORES_SOFT, 30, make_page(START + 1, 0, 0, HAMI_OTHERS_IDLE)) == 30);
    CHECK(percent_of(CI_CORES_SOFT, 30, make_page(START, 0, 0, HAMI_OTHERS_BUSY)) == 30);
    CHECK(percent_of(CI_CORES_SOFT, 30, make_page(START, 0, 0, HAMI_OTHERS_UNKNOWN)) == 30);
    CHECK(percent_of(CI_CORES_SOFT, 30, NULL) == 30);
    CHECK(percent_of(CI_CORES_HARD, 30, make_page(START, 0, 0, HAMI_OTHERS_IDLE)) == 30);
    CHECK(percent_of(CI_CORES_NONE, 0, NULL) > 100);
    struct ci_limits limits = {.core_percent = 30, .core_limit = CI_CORES_HARD};
    CHECK(ci_terms_of(&limits, make_page(START, 0, HAMI_CORRECTION_ONE / 2, 0), START).correction ==
          HAMI_CORRECTION_ONE / 2);
    CHECK(ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_ONE / 2, 0), START).correction ==
          HAMI_CORRECTION_ONE);
    CHECK(ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_ONE * 2, 0), START).correction ==
          HAMI_CORRECTION_ONE * 2);
    CHECK(ci_terms_of(&limits, make_page(START, 0, HAMI_CORRECTION_MAX, 0), START).correction == HAMI_CORRECTION_MAX);
    CHECK(ci_terms_of(&limits, make_page(START, 0, HAMI_CORRECTION_MAX + 1, 0), START).correction ==
          HAMI_CORRECTION_ONE);
    CHECK(ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_USUAL_MAX, 0), START).correction ==
          HAMI_CORRECTION_USUAL_MAX);
    CHECK(ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_USUAL_MAX + 1, 0), START).correction ==
          HAMI_CORRECTION_ONE);
    CHECK(ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_USUAL_MAX + 1, 0), START).by_mean);
    CHECK(!ci_terms_of(&limits, make_page(stale, 0, HAMI_CORRECTION_USUAL_MAX, 0), START).by_mean);
    CHECK(!ci_terms_of(&limits, make_page(START, 0, HAMI_CORRECTION_MAX, 0), START).by_mean);
    CHECK(ci_terms_of(&limits, make_page(START, 0, 7, 0), START).correction == HAMI_CORRECTION_ONE);
}

static void a_closed_gate_leaves_a_floor(void)
{
    uint64_t stale = START - HAMI_NODE_STALE_NS;
    CHECK(percent_of(CI_CORES_NONE, 0, make_page(START, HAMI_GATE_CLOSED, 0, 0)) == HAMI_GATE_FLOOR_PERCENT);
    CHECK(percent_of(CI_CORES_HARD, 30, make_page(START, HAMI_GATE_CLOSED, 0, 0)) == HAMI_GATE_FLOOR_PERCENT);
    CHECK(percent_of(CI_CORES_HARD, 3, make_page(START, HAMI_GATE_CLOSED, 0, 0)) == 3);
    CHECK(percent_of(CI_CORES_NONE, 0, make_page(stale, HAMI_GATE_CLOSED, 0, 0)) == HAMI_GATE_FLOOR_PERCENT);
}

static bool limited(enum ci_core_limit limit, unsigned int cores, bool has_priority)
{
    struct ci_limits limits = {.core_percent = cores, .core_limit = limit, .has_priority = has_priority};
    return ci_terms_limit(&limits);
}

static void shares_without_limit_and_priority_are_left_alone(void)
{
    CHECK(!limited(CI_CORES_NONE, 0, false));
    CHECK(!limited(CI_CORES_NONE, 30, false));
    CHECK(!limited(CI_CORES_HARD, 100, false));
    CHECK(limited(CI_CORES_HARD, 99, false));
    CHECK(limited(CI_CORES_SOFT, 30, false));
    CHECK(limited(CI_CORES_NONE, 0, true));
}

int main(void)
{
    percent_of_time_is_given_out();
    minutes_are_paid_back_as_well();
    unused_time_is_lost_but_for_the_slack();
    settling_moves_the_debt_both_ways();
    a_damaged_word_is_no_debt();
    what_the_dead_had_unused_comes_back();
    what_has_run_does_not_come_back();
    so_it_does_where_all_of_the_gpu_is_given();
    takers_are_told_apart();
    use_is_told_for_the_last_second();
    the_mean_is_charged_where_nobody_else_works();
    the_least_is_charged_where_others_do();
    another_size_is_guessed_from_the_known_one();
    a_guess_is_no_more_than_a_second();
    few_threads_are_guessed_as_well();
    a_few_measurements_are_not_sure();
    time_on_the_host_says_nothing_beside_exact_times();
    an_exact_time_among_them_keeps_them_out();
    a_function_that_varies_is_known_as_such();
    a_function_that_varies_beside_others_is_known_as_such();
    a_function_that_takes_the_place_of_another_is_new();
    only_a_fresh_page_loosens();
    a_closed_gate_leaves_a_floor();
    shares_without_limit_and_priority_are_left_alone();
    return failures != 0;
}
