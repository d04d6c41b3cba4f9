/* auth-service/users/known_sessions.c */
#include "auth-service/users/known_sessions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define ISSUER "https://clerk.example.com"

static struct token_claims claims_of(const char *subject, const char *session_id)
{
    struct token_claims claims = {0};
    (void)snprintf(claims.subject, sizeof claims.subject, "%s", subject);
    (void)snprintf(claims.session_id, sizeof claims.session_id, "%s", session_id);
    return claims;
}

static void only_what_was_noted_is_known(void **state)
{
    (void)state;
    struct err err = {0};
    struct known_sessions *known = known_sessions_new(&err);
    const struct token_claims noted = claims_of("user_1", "sess_1");
    const struct token_claims other = claims_of("user_1", "sess_2");
    const struct token_claims nameless = claims_of("sess_1", "");
    assert_non_null(known);
    assert_false(known_sessions_has(known, ISSUER, &noted));
    known_sessions_note(known, ISSUER, &noted);
    known_sessions_note(known, ISSUER, &noted);
    assert_true(known_sessions_has(known, ISSUER, &noted));
    assert_false(known_sessions_has(known, ISSUER "/", &noted));
    assert_false(known_sessions_has(known, ISSUER, &other));
    assert_false(known_sessions_has(known, ISSUER, &nameless)); /* a subject is no session */
    known_sessions_note(known, ISSUER, &nameless);
    assert_true(known_sessions_has(known, ISSUER, &nameless));
    assert_int_equal(known_sessions_count(known), 2);
    known_sessions_free(known);
}

static void the_ones_not_seen_for_longest_make_place(void **state)
{
    (void)state;
    struct err err = {0};
    struct known_sessions *known = known_sessions_new(&err);
    char name[32];
    assert_non_null(known);
    const struct token_claims first = claims_of("user_1", "sess_0");
    const struct token_claims second = claims_of("user_1", "sess_1");
    for (int i = 0; i < KNOWN_SESSIONS_MAX; i++) {
        (void)snprintf(name, sizeof name, "sess_%d", i);
        const struct token_claims claims = claims_of("user_1", name);
        known_sessions_note(known, ISSUER, &claims);
    }
    known_sessions_note(known, ISSUER, &first);
    const struct token_claims last = claims_of("user_1", "sess_last");
    known_sessions_note(known, ISSUER, &last);
    assert_int_equal(known_sessions_count(known), KNOWN_SESSIONS_MAX);
    assert_true(known_sessions_has(known, ISSUER, &first));
    assert_false(known_sessions_has(known, ISSUER, &second));
    assert_true(known_sessions_has(known, ISSUER, &last));
    known_sessions_free(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_noted_is_known),
        cmocka_unit_test(the_ones_not_seen_for_longest_make_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
