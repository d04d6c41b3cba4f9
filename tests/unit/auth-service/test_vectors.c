/* auth-service/jwt against tests/support/clerk/vectors.json: every token, every publishable key and
 * every broken key set in there. */
#include "auth-service/jwt/clerk.h"
#include "auth-service/jwt/verify.h"
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define VECTORS INSIEN_SOURCE_DIR "/tests/support/clerk/vectors.json"

enum {
    VECTORS_MAX = 1 << 20,
    TOKENS = 97,
    PUBLISHABLE_KEYS = 9,
    BROKEN_SETS = 7,
    LINE_SIZE = 4096,
};

struct fixture {
    cJSON *vectors;
    struct token_policy policy;
};

static const char *text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char *text = malloc(VECTORS_MAX);
    FILE *file = fopen(VECTORS, "r");
    assert_true(fixture != NULL && text != NULL && file != NULL);
    size_t len = fread(text, 1, VECTORS_MAX, file);
    (void)fclose(file);
    fixture->vectors = cJSON_ParseWithLength(text, len);
    free(text);
    assert_non_null(fixture->vectors);
    const cJSON *policy = cJSON_GetObjectItem(fixture->vectors, "policy");
    const cJSON *party = cJSON_GetObjectItem(policy, "authorizedParties")->child;
    fixture->policy =
        (struct token_policy){.issuer = text_of(policy, "issuer"),
                              .audience = "",
                              .authorized_parties = {view_of(cJSON_GetStringValue(party))},
                              .authorized_party_count = 1,
                              .clock_skew_s = 5};
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    cJSON_Delete(fixture->vectors);
    free(fixture);
    return 0;
}

static struct key_set *key_set_named(const struct fixture *fixture, const char *name)
{
    struct err err = {0};
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(fixture->vectors, name));
    assert_non_null(text);
    struct key_set *set = key_set_from_jwks(view_of(text), false, &err);
    if (set == NULL) {
        fail_msg("%s: %s", name, err.message);
    }
    cJSON_free(text);
    return set;
}

/* Appends to report when the claim is in the vector and not so in the token. */
static void compare(const cJSON *vector, const char *member, const char *claim, char *report)
{
    const char *expected = text_of(vector, member);
    if (expected != NULL && strcmp(expected, claim) != 0) {
        (void)snprintf(report, LINE_SIZE, "%s is \"%.200s\", not \"%.200s\"", member, claim,
                       expected);
    }
}

static void compare_permissions(const cJSON *vector, const char *permissions, char *report)
{
    char expected[LINE_SIZE] = "";
    const cJSON *list = cJSON_GetObjectItem(vector, "orgPermissions");
    const cJSON *item = NULL;
    if (list == NULL) {
        return;
    }
    cJSON_ArrayForEach(item, list)
    {
        size_t len = strlen(expected);
        (void)snprintf(expected + len, sizeof expected - len, "%s%s", len == 0 ? "" : ",",
                       cJSON_GetStringValue(item));
    }
    if (strcmp(expected, permissions) != 0) {
        (void)snprintf(report, LINE_SIZE, "permissions are %.500s", permissions);
    }
}

/* report stays empty when the token is treated as it must be. */
static void judge(const struct fixture *fixture, const cJSON *vector, char *report)
{
    struct token_claims claims;
    struct err err = {0};
    const char *set_name = text_of(vector, "jwks");
    struct key_set *keys = key_set_named(fixture, set_name == NULL ? "jwks" : set_name);
    const char *token = text_of(vector, "token");
    bool accepted = token_verify(view_of(token), &fixture->policy, keys,
                                 (double)clock_wall_ms() / 1000, &claims, &err);
    bool expected = strcmp(text_of(vector, "expect"), "accept") == 0;
    report[0] = '\0';
    if (accepted != expected) {
        (void)snprintf(report, LINE_SIZE, "%s", accepted ? "accepted" : err.reason);
    } else if (accepted) {
        compare(vector, "sub", claims.subject, report);
        compare(vector, "sid", claims.session_id, report);
        compare(vector, "actor", claims.actor, report);
        compare(vector, "orgId", claims.organization.id, report);
        compare(vector, "orgRole", claims.organization.role, report);
        compare_permissions(vector, claims.organization.permissions, report);
    } else if (strcmp(text_of(vector, "reason"), err.reason) != 0) {
        (void)snprintf(report, LINE_SIZE, "refused for %s, not for %s", err.reason,
                       text_of(vector, "reason"));
    } else if (err.code != ERR_UNAUTHENTICATED) {
        (void)snprintf(report, LINE_SIZE, "refused with code %s", err_code_name(err.code));
    }
    key_set_free(keys);
}

static void every_token_is_judged_as_it_should(void **state)
{
    const struct fixture *fixture = *state;
    const cJSON *vector = NULL;
    int count = 0;
    int wrong = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItem(fixture->vectors, "tokens"))
    {
        char report[LINE_SIZE];
        judge(fixture, vector, report);
        count++;
        if (report[0] != '\0') {
            print_error("%s: %s\n", text_of(vector, "name"), report);
            wrong++;
        }
    }
    assert_int_equal(count, TOKENS);
    assert_int_equal(wrong, 0);
}

static void every_publishable_key_is_read_or_refused(void **state)
{
    const struct fixture *fixture = *state;
    const cJSON *vector = NULL;
    int count = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItem(fixture->vectors, "publishableKeys"))
    {
        char host[CLERK_HOST_SIZE];
        struct err err = {0};
        bool valid = clerk_host_from_publishable_key(view_of(text_of(vector, "key")), host, &err);
        if (valid != (bool)cJSON_IsTrue(cJSON_GetObjectItem(vector, "valid"))) {
            fail_msg("%s: %d", text_of(vector, "key"), valid);
        }
        if (valid) {
            assert_string_equal(host, text_of(vector, "host"));
        }
        count++;
    }
    assert_int_equal(count, PUBLISHABLE_KEYS);
}

static void every_broken_key_set_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    const cJSON *vector = NULL;
    int count = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItem(fixture->vectors, "jwksBroken"))
    {
        struct err err = {0};
        const char *text = cJSON_GetStringValue(vector);
        if (key_set_from_jwks(view_of(text), false, &err) != NULL) {
            fail_msg("\"%s\" was accepted", text);
        }
        assert_int_equal(err.code, ERR_INVALID);
        count++;
    }
    assert_int_equal(count, BROKEN_SETS);
}

static void of_a_hostile_key_set_only_the_sound_key_is_taken(void **state)
{
    struct key_set *keys = key_set_named(*state, "jwksHostile");
    assert_int_equal(key_set_count(keys), 1);
    key_set_free(keys);
}

/* The form that CLERK_JWT_KEY has; the kid counts for nothing then. */
static void a_token_is_verified_with_the_key_as_pem(void **state)
{
    const struct fixture *fixture = *state;
    const cJSON *keys = cJSON_GetObjectItem(fixture->vectors, "keys");
    const char *pem = text_of(cJSON_GetObjectItem(keys, "primary"), "publicPem");
    const cJSON *vector = cJSON_GetObjectItem(fixture->vectors, "tokens")->child;
    struct token_claims claims;
    struct err err = {0};
    struct key_set *set = key_set_from_pem(view_of(pem), &err);
    assert_non_null(set);
    assert_non_null(key_set_find(set, VIEW("any")));
    assert_true(token_verify(view_of(text_of(vector, "token")), &fixture->policy, set,
                             (double)clock_wall_ms() / 1000, &claims, &err));
    key_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_is_judged_as_it_should),
        cmocka_unit_test(every_publishable_key_is_read_or_refused),
        cmocka_unit_test(every_broken_key_set_is_refused),
        cmocka_unit_test(of_a_hostile_key_set_only_the_sound_key_is_taken),
        cmocka_unit_test(a_token_is_verified_with_the_key_as_pem),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
