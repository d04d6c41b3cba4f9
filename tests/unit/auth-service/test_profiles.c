/* auth-service/users/profiles.c against a Backend API of the test's own, and a real PostgreSQL. */
#include "auth-service/users/profiles.h"

#include "tests/unit/auth-service/accounts.h"
#include "tests/unit/auth-service/web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE = 512, SHORT_MS = 20, WHILE_MS = 100, LONG_MS = 200, LONGEST_MS = 400, MANY = 5 };

struct stage {
    struct accounts *accounts;
    struct http_client *http;
    struct web web;
    struct profiles *profiles;
    int expected; /* requests that a test waits for */
};

static int set_up(void **state)
{
    static struct stage stage;
    struct err err = {0};
    void *accounts = NULL;
    (void)accounts_set_up(&accounts);
    stage = (struct stage){.accounts = accounts};
    web_open(&stage.web, stage.accounts->loop);
    stage.http = http_client_open(stage.accounts->loop, NULL, 2, &err);
    assert_non_null(stage.http);
    const struct profiles_options options = {
        .loop = stage.accounts->loop,
        .pg = stage.accounts->pg,
        .http = stage.http,
        .announcer = stage.accounts->announcer,
        .api_url = stage.web.url,
        .secret_key = "sk_test_1",
        .timing = {.fetch_timeout_ms = 2000, .retry_min_ms = SHORT_MS, .retry_max_ms = LONGEST_MS}};
    stage.profiles = profiles_open(&options, &err);
    assert_non_null(stage.profiles);
    *state = &stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    void *accounts = stage->accounts;
    profiles_close(stage->profiles);
    http_client_close(stage->http);
    web_close(&stage->web);
    (void)accounts_tear_down(&accounts);
    return 0;
}

static void serve(struct stage *stage, int status, const char *subject, const char *more)
{
    stage->web.status = status;
    stage->web.retry_after_s = 0;
    stage->web.requests = 0;
    (void)snprintf(stage->web.body, sizeof stage->web.body,
                   "{\"id\":\"%s\",\"first_name\":\"Ann\",\"updated_at\":1000%s}", subject, more);
}

static bool has_asked(void *arg)
{
    const struct stage *stage = arg;
    return stage->web.requests >= stage->expected;
}

static void wait_for_requests(struct stage *stage, int count)
{
    stage->expected = count;
    turn_until_true(stage->accounts->loop, has_asked, stage);
}

/* What is on its way to the database gets there: a few turns behind the answer. */
static void settle(struct stage *stage)
{
    turn_for(stage->accounts->loop, LONG_MS);
}

static void expect(struct stage *stage, const char *user_id, const char *condition)
{
    char sql[SQL_SIZE];
    int len = snprintf(sql, sizeof sql,
                       "SELECT 1 / (CASE WHEN (%s) THEN 1 ELSE 0 END) FROM users WHERE id = '%s'",
                       condition, user_id);
    assert_in_range(len, 1, sizeof sql - 1);
    postgres_run(stage->accounts->postgres, sql);
}

static void a_users_profile_is_fetched_with_the_secret_key(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_plain", &user);
    assert_true(user.lacks_profile);
    serve(stage, 200, "user_plain1", "");
    profiles_want(stage->profiles, user.id, "user_plain1");
    wait_for_requests(stage, 1);
    settle(stage);
    assert_string_equal(stage->web.path, "/v1/users/user_plain1");
    assert_string_equal(stage->web.authorization, "Bearer sk_test_1");
    expect(stage, user.id, "display_name = 'Ann' AND profile_at = to_timestamp(1)");
    accounts_user(stage->accounts, "user_plain", &user);
    assert_false(user.lacks_profile);
}

static void a_user_is_asked_for_once_at_a_time(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_once", &user);
    serve(stage, 200, "user_once1", "");
    for (int i = 0; i < MANY; i++) {
        profiles_want(stage->profiles, user.id, "user_once1");
    }
    wait_for_requests(stage, 1);
    settle(stage);
    assert_int_equal(stage->web.requests, 1);
}

static void a_failure_is_tried_again_after_a_pause(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_again", &user);
    serve(stage, 500, "user_again1", "");
    profiles_want(stage->profiles, user.id, "user_again1");
    wait_for_requests(stage, 3);
    serve(stage, 200, "user_again1", "");
    wait_for_requests(stage, 1);
    settle(stage);
    expect(stage, user.id, "display_name = 'Ann'");
}

static void the_api_says_how_long_to_wait(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_busy", &user);
    serve(stage, 429, "user_busy1", "");
    stage->web.retry_after_s = 7; /* of which no more is kept than the longest pause */
    profiles_want(stage->profiles, user.id, "user_busy1");
    wait_for_requests(stage, 1);
    turn_for(stage->accounts->loop, WHILE_MS);
    assert_int_equal(stage->web.requests, 1); /* its own pause would have been over */
    serve(stage, 200, "user_busy1", "");
    wait_for_requests(stage, 1);
    settle(stage);
    expect(stage, user.id, "display_name = 'Ann'");
}

static void a_wait_without_end_is_as_long_as_the_longest_pause(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_lied_to", &user);
    serve(stage, 429, "user_liedto1", "");
    stage->web.retry_after_s = INT64_MAX;
    profiles_want(stage->profiles, user.id, "user_liedto1");
    wait_for_requests(stage, 1);
    turn_for(stage->accounts->loop, WHILE_MS);
    assert_int_equal(stage->web.requests, 1); /* its own pause would have been over */
    serve(stage, 200, "user_liedto1", "");
    wait_for_requests(stage, 1);
    settle(stage);
    expect(stage, user.id, "display_name = 'Ann'");
}

static void what_can_not_help_is_not_tried_again(void **state)
{
    static const struct {
        int status;
        const char *subject; /* in the answer */
    } cases[] = {{401, "user_lost1"}, {200, "user_other"}, {200, ""}};
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_lost", &user);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        serve(stage, cases[i].status, cases[i].subject, "");
        profiles_want(stage->profiles, user.id, "user_lost1");
        wait_for_requests(stage, 1);
        settle(stage);
        assert_int_equal(stage->web.requests, 1);
        expect(stage, user.id, "profile_at IS NULL");
    }
}

static void a_user_that_clerk_does_not_know_is_not_asked_for_for_ever(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_unknown", &user);
    serve(stage, 404, "", "");
    profiles_want(stage->profiles, user.id, "user_unknown1");
    wait_for_requests(stage, 1);
    settle(stage);
    accounts_user(stage->accounts, "user_unknown", &user);
    assert_false(user.lacks_profile);
}

static void a_ban_that_the_api_tells_suspends(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_banned", &user);
    serve(stage, 200, "user_banned1", ",\"banned\":true");
    profiles_want(stage->profiles, user.id, "user_banned1");
    wait_for_requests(stage, 1);
    settle(stage);
    expect(stage, user.id, "suspended_at IS NOT NULL");
}

static void a_subject_of_odd_form_is_not_asked_for(void **state)
{
    struct stage *stage = *state;
    struct user user;
    accounts_user(stage->accounts, "user_odd", &user);
    serve(stage, 200, "user_odd", "");
    profiles_want(stage->profiles, user.id, "user_../odd");
    settle(stage);
    assert_int_equal(stage->web.requests, 0);
}

static void an_address_without_tls_is_refused(void **state)
{
    struct stage *stage = *state;
    struct err err = {0};
    const struct profiles_options options = {
        .loop = stage->accounts->loop, .api_url = "http://api.example.com", .secret_key = "sk"};
    assert_null(profiles_open(&options, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.message, "CLERK_API_URL"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_users_profile_is_fetched_with_the_secret_key),
        cmocka_unit_test(a_user_is_asked_for_once_at_a_time),
        cmocka_unit_test(a_failure_is_tried_again_after_a_pause),
        cmocka_unit_test(the_api_says_how_long_to_wait),
        cmocka_unit_test(a_wait_without_end_is_as_long_as_the_longest_pause),
        cmocka_unit_test(what_can_not_help_is_not_tried_again),
        cmocka_unit_test(a_user_that_clerk_does_not_know_is_not_asked_for_for_ever),
        cmocka_unit_test(a_ban_that_the_api_tells_suspends),
        cmocka_unit_test(a_subject_of_odd_form_is_not_asked_for),
        cmocka_unit_test(an_address_without_tls_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
