/* auth-service/audit/sealer.c and auth-service/admin/verify.c against a real PostgreSQL: what is
 * sealed holds, and every change to it shows. */
#include "auth-service/admin/verify.h"
#include "auth-service/audit/sealer.h"
#include "tests/unit/audit/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

/* What somebody does who has all rights in the database. */
#define UNGUARDED(sql)                                                                             \
    "BEGIN; ALTER TABLE audit_log DISABLE TRIGGER ALL; ALTER TABLE audit_seals DISABLE TRIGGER"    \
    " ALL; ALTER TABLE audit_personal DISABLE TRIGGER ALL; " sql "; COMMIT"

#define ALL_SEALED "SELECT (SELECT count(*) FROM audit_seals) = (SELECT count(*) FROM audit_log)"

enum { STATEMENT_TIMEOUT_MS = 10 * 1000, MANY = 1003 /* over a batch */ };

struct sealing {
    struct trail *trail;
    struct pg_pool *pg;
    struct audit_sealer *sealer;
};

static void open_sealer(struct sealing *sealing, struct trail *trail)
{
    struct err err = {0};
    const struct pg_options options = {.url = postgres_url(trail->postgres),
                                       .connections = 1,
                                       .statements = audit_seal_statements,
                                       .statement_count = AUDIT_SEAL_STATEMENT_COUNT,
                                       .statement_timeout_ms = STATEMENT_TIMEOUT_MS};
    sealing->trail = trail;
    sealing->pg = pg_pool_open(trail->loop, &options, &err);
    assert_non_null(sealing->pg);
    sealing->sealer = audit_sealer_open(trail->loop, sealing->pg, &err);
    assert_non_null(sealing->sealer);
}

static void close_sealer(struct sealing *sealing)
{
    pg_pool_close(sealing->pg);
    audit_sealer_close(sealing->sealer);
}

static bool all_are_sealed(void *arg)
{
    const struct sealing *sealing = arg;
    char text[TRAIL_TEXT_SIZE];
    trail_ask(sealing->trail, ALL_SEALED, text);
    return text[0] == 't';
}

static void act(struct trail *trail, int count)
{
    char target[16];
    for (int i = 1; i <= count; i++) {
        (void)snprintf(target, sizeof target, "%d", i);
        trail_act(trail, target);
    }
    trail_drain(trail);
}

static void act_and_seal(struct trail *trail, int count)
{
    struct sealing sealing;
    act(trail, count);
    open_sealer(&sealing, trail);
    turn_until_true(trail->loop, all_are_sealed, &sealing);
    close_sealer(&sealing);
}

static void verify(const struct trail *trail, const char *anchor, struct audit_verdict *verdict)
{
    struct audit_anchor parsed;
    struct err err = {0};
    PGconn *pg = PQconnectdb(postgres_url(trail->postgres));
    if ((anchor != NULL && !audit_anchor_parse(view_of(anchor), &parsed, &err)) ||
        !audit_verify(pg, anchor == NULL ? NULL : &parsed, verdict, &err)) {
        fail_msg("%s", err.message);
    }
    PQfinish(pg);
}

static void expect_whole(const struct trail *trail, int64_t rows)
{
    struct audit_verdict verdict;
    verify(trail, NULL, &verdict);
    assert_string_equal(verdict.first_break, "");
    assert_int_equal(verdict.last_seq, rows);
}

static void take_anchor(const struct trail *trail, char anchor[TRAIL_TEXT_SIZE])
{
    trail_ask(trail,
              "SELECT seq || ':' || encode(hash, 'hex') FROM audit_seals ORDER BY seq DESC LIMIT 1",
              anchor);
}

static void nothing_is_whole(void **state)
{
    expect_whole(*state, 0);
}

static void all_rows_all_are_sealed_and_hold(void **state)
{
    struct trail *trail = *state;
    act_and_seal(trail, MANY);
    expect_whole(trail, MANY);
    trail_expect(trail,
                 "SELECT string_agg(seq::text, ' ' ORDER BY audit_id) ="
                 " (SELECT string_agg(n::text, ' ') FROM generate_series(1, 1003) n)"
                 " FROM audit_seals",
                 "t");
}

static void rows_of_every_kind_hold(void **state)
{
    struct trail *trail = *state;
    struct err err = {0};
    static const struct audit_record empty = {.action = AUDIT_KEY_REFUSED};
    struct audit_act *odd = audit_act_begin(trail->writer, &err);
    assert_non_null(odd);
    struct audit_record *record = audit_act_record(odd);
    memcpy(record->actor_user, "ABCDEF01-2345-4789-8abc-def012345678", ID_SIZE);
    audit_text_set(record->address, sizeof record->address, VIEW("::FFFF:1.2.3.4"));
    audit_text_set(record->impersonator, sizeof record->impersonator, VIEW("\xc3\xa9\xff\n"));
    audit_text_set(record->target, sizeof record->target, VIEW("\xe2\x82\xac \\ ' \x7f"));
    audit_record_set_detail(record, "why", VIEW("\xf0\x9f\x98\x80 \"\\"));
    audit_act_end(odd);
    audit_note(trail->writer, &empty);
    act_and_seal(trail, 1);
    expect_whole(trail, 3);
}

static void rows_behind_the_last_seal_are_counted(void **state)
{
    struct trail *trail = *state;
    struct audit_verdict verdict;
    act_and_seal(trail, 2);
    trail_act(trail, "new");
    trail_drain(trail);
    verify(trail, NULL, &verdict);
    assert_string_equal(verdict.first_break, "");
    assert_int_equal(verdict.last_seq, 2);
    assert_int_equal(verdict.unsealed, 1);
}

static const struct {
    const char *name;
    const char *sql;
    const char *first_break;
} changes[] = {
    {"a changed row", UNGUARDED("UPDATE audit_log SET result = 'failed' WHERE id = 2"),
     "row 2 is not what was sealed, or its seal was changed"},
    {"an empty text for none", UNGUARDED("UPDATE audit_log SET request_id = '' WHERE id = 2"),
     "row 2 is not what was sealed, or its seal was changed"},
    {"another time",
     UNGUARDED("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE id = 3"),
     "row 3 is not what was sealed, or its seal was changed"},
    {"a deleted row",
     UNGUARDED("DELETE FROM audit_personal WHERE audit_id = 2;"
               "DELETE FROM audit_log WHERE id = 2"),
     "row 2 was deleted"},
    {"a row deleted with its seal",
     UNGUARDED("DELETE FROM audit_personal WHERE audit_id = 2;"
               "DELETE FROM audit_log WHERE id = 2; DELETE FROM audit_seals WHERE seq = 2"),
     "seal 2 is missing"},
    {"swapped rows",
     UNGUARDED("UPDATE audit_log SET target = CASE target WHEN '2' THEN '3' ELSE '2' END"
               " WHERE id IN (2, 3)"),
     "row 2 is not what was sealed, or its seal was changed"},
    {"swapped seals",
     UNGUARDED("UPDATE audit_seals SET audit_id = 0 WHERE seq = 2;"
               "UPDATE audit_seals SET audit_id = 2 WHERE seq = 3;"
               "UPDATE audit_seals SET audit_id = 3 WHERE seq = 2"),
     "row 3 is not what was sealed, or its seal was changed"},
    {"a changed seal",
     UNGUARDED("UPDATE audit_seals SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 3"),
     "row 3 is not what was sealed, or its seal was changed"},
    {"a changed person",
     UNGUARDED("UPDATE audit_personal SET address = '10.9.9.9' WHERE audit_id = 4"),
     "the personal part of row 4 was changed"},
};

static void every_change_is_found(void **state)
{
    struct trail *trail = *state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct audit_verdict verdict;
        trail_close(state);
        trail_open(state);
        act_and_seal(trail, 4);
        expect_whole(trail, 4);
        postgres_run(trail->postgres, changes[i].sql);
        verify(trail, NULL, &verdict);
        if (strcmp(verdict.first_break, changes[i].first_break) != 0) {
            fail_msg("%s: \"%s\"", changes[i].name, verdict.first_break);
        }
    }
}

static void a_row_put_in_later_is_found(void **state)
{
    struct trail *trail = *state;
    struct audit_verdict verdict;
    postgres_run(trail->postgres, "SELECT nextval('audit_log_id_seq')"); /* leaves a gap */
    act_and_seal(trail, 2);
    postgres_run(trail->postgres,
                 "INSERT INTO audit_log (id, action, result, service, personal_digest)"
                 " OVERRIDING SYSTEM VALUE VALUES (1, 'key.created', 'ok', 'test',"
                 " decode(repeat('11', 32), 'hex'))");
    verify(trail, NULL, &verdict);
    assert_string_equal(verdict.first_break, "row 1 was put in later");
}

/* Without the anchor nothing tells that there was more. */
static void an_end_that_was_taken_away_is_found_by_an_anchor(void **state)
{
    struct trail *trail = *state;
    struct audit_verdict verdict;
    char anchor[TRAIL_TEXT_SIZE];
    act_and_seal(trail, 4);
    take_anchor(trail, anchor);
    verify(trail, anchor, &verdict);
    assert_string_equal(verdict.first_break, "");
    postgres_run(trail->postgres, UNGUARDED("DELETE FROM audit_seals WHERE seq > 2;"
                                            "DELETE FROM audit_personal WHERE audit_id > 2;"
                                            "DELETE FROM audit_log WHERE id > 2"));
    expect_whole(trail, 2);
    verify(trail, anchor, &verdict);
    assert_string_equal(
        verdict.first_break,
        "the chain ends before the anchor: seal 3 and what follows it were taken away");
}

static void a_chain_made_anew_is_found_by_an_anchor(void **state)
{
    struct trail *trail = *state;
    struct audit_verdict verdict;
    char anchor[TRAIL_TEXT_SIZE];
    struct sealing sealing;
    act_and_seal(trail, 4);
    take_anchor(trail, anchor);
    postgres_run(trail->postgres, UNGUARDED("UPDATE audit_log SET target = 'other' WHERE id = 2;"
                                            "DELETE FROM audit_seals"));
    open_sealer(&sealing, trail);
    turn_until_true(trail->loop, all_are_sealed, &sealing);
    close_sealer(&sealing);
    expect_whole(trail, 4);
    verify(trail, anchor, &verdict);
    assert_string_equal(verdict.first_break,
                        "seal 4 is not that of the anchor: the chain was made anew");
}

static void erased_persons_leave_the_chain_whole(void **state)
{
    struct trail *trail = *state;
    struct audit_verdict verdict;
    act_and_seal(trail, 4);
    postgres_run(trail->postgres, "DELETE FROM audit_personal WHERE audit_id IN (2, 3)");
    verify(trail, NULL, &verdict);
    assert_string_equal(verdict.first_break, "");
    assert_int_equal(verdict.last_seq, 4);
    assert_int_equal(verdict.erased, 2);
}

static void only_one_seals_at_a_time(void **state)
{
    struct trail *trail = *state;
    trail_act(trail, "waits");
    trail_drain(trail);
    PGconn *other = PQconnectdb(postgres_url(trail->postgres));
    PQclear(PQexec(other, "BEGIN; SELECT * FROM audit_seal(1)"));
    trail_expect(trail, "SELECT concat_ws('|', sealed, seq, hash) FROM audit_seal(10)", "0");
    PQclear(PQexec(other, "ROLLBACK"));
    PQfinish(other);
    trail_expect(trail, "SELECT sealed || '|' || seq FROM audit_seal(10)", "1|1");
    expect_whole(trail, 1);
}

static void sealers_beside_each_other_make_one_chain(void **state)
{
    struct trail *trail = *state;
    enum { SEALERS = 3 };
    struct sealing sealings[SEALERS];
    for (int i = 0; i < SEALERS; i++) {
        open_sealer(&sealings[i], trail);
    }
    act(trail, MANY);
    turn_until_true(trail->loop, all_are_sealed, &sealings[0]);
    for (int i = 0; i < SEALERS; i++) {
        close_sealer(&sealings[i]);
    }
    expect_whole(trail, MANY);
}

static void what_is_no_anchor_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "4",
        "4:",
        "4:00",
        ":",
        "x:y",
        "-4:",
        "4 :",
        "0:0000000000000000000000000000000000000000000000000000000000000000",
        "99999999999999999999:0000000000000000000000000000000000000000000000000000000000000000",
        "1:000000000000000000000000000000000000000000000000000000000000000g",
        "1:00000000000000000000000000000000000000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct audit_anchor anchor;
        struct err err = {0};
        assert_false(audit_anchor_parse(view_of(texts[i]), &anchor, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, trail_open, trail_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_whole),
        TEST(all_rows_all_are_sealed_and_hold),
        TEST(rows_of_every_kind_hold),
        TEST(rows_behind_the_last_seal_are_counted),
        TEST(every_change_is_found),
        TEST(a_row_put_in_later_is_found),
        TEST(an_end_that_was_taken_away_is_found_by_an_anchor),
        TEST(a_chain_made_anew_is_found_by_an_anchor),
        TEST(erased_persons_leave_the_chain_whole),
        TEST(only_one_seals_at_a_time),
        TEST(sealers_beside_each_other_make_one_chain),
        cmocka_unit_test(what_is_no_anchor_is_refused),
    };
    return cmocka_run_group_tests(tests, trail_set_up, trail_tear_down);
}
