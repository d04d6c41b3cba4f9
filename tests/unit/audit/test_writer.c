/* common/audit/writer.c against a real PostgreSQL. */
#include "common/audit/store.h"
#include "common/base/str.h"
#include "tests/unit/audit/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT "SELECT count(*) FROM audit_log"
#define TARGETS "SELECT string_agg(target, ' ' ORDER BY id) FROM audit_log"

static const char user_id[ID_SIZE] = "11111111-1111-4111-8111-111111111111";

static void a_record_is_stored_whole(void **state)
{
    struct trail *trail = *state;
    struct err err = {0};
    struct audit_act *act = audit_act_begin(trail->writer, &err);
    assert_non_null(act);
    struct audit_record *record = audit_act_record(act);
    record->action = AUDIT_KEY_REVOKED;
    record->result = AUDIT_FAILED;
    memcpy(record->actor_user, user_id, ID_SIZE);
    memcpy(record->actor_key, user_id, ID_SIZE);
    audit_text_set(record->target_kind, sizeof record->target_kind, VIEW("api_key"));
    audit_text_set(record->target, sizeof record->target, VIEW("it's \"it\"\xff"));
    audit_text_set(record->request_id, sizeof record->request_id, VIEW("r-1"));
    audit_text_set(record->address, sizeof record->address, VIEW("10.1.2.3"));
    audit_text_set(record->impersonator, sizeof record->impersonator, VIEW("boss"));
    audit_text_set(record->user_agent, sizeof record->user_agent, VIEW("curl/8"));
    audit_record_set_detail(record, "reason", VIEW("asked"));
    audit_act_end(act);
    trail_drain(trail);
    trail_expect(
        trail,
        "SELECT concat_ws('|', id, action, result, actor_user, actor_key, target_kind,"
        " target, request_id, service, detail, now() - at < interval '5 s') FROM audit_log",
        "1|key.revoked|failed|11111111-1111-4111-8111-111111111111|"
        "11111111-1111-4111-8111-111111111111|api_key|it's \"it\"?|r-1|test|"
        "{\"reason\": \"asked\"}|t");
    trail_expect(trail,
                 "SELECT concat_ws('|', audit_id, octet_length(salt), address, impersonator,"
                 " user_agent) FROM audit_personal",
                 "1|32|10.1.2.3|boss|curl/8");
}

static void what_is_not_known_is_null(void **state)
{
    struct trail *trail = *state;
    static const struct audit_record record = {.action = AUDIT_SESSION_REFUSED,
                                               .result = AUDIT_REFUSED};
    audit_note(trail->writer, &record);
    trail_drain(trail);
    trail_expect(trail,
                 "SELECT num_nonnulls(actor_user, actor_key, target_kind, target, request_id,"
                 " detail, address, impersonator, user_agent)"
                 " FROM audit_log JOIN audit_personal ON id = audit_id",
                 "0");
}

static void records_keep_their_order(void **state)
{
    struct trail *trail = *state;
    char target[16];
    struct str expected = STR_INIT(TRAIL_TEXT_SIZE);
    for (int i = 0; i < 100; i++) { /* over a batch */
        (void)snprintf(target, sizeof target, "%d", i);
        trail_act(trail, target);
        str_appendf(&expected, "%s%d", i == 0 ? "" : " ", i);
    }
    trail_drain(trail);
    trail_expect(trail, TARGETS, expected.data);
    str_free(&expected);
}

static void records_of_an_outage_come_once_behind_it(void **state)
{
    struct trail *trail = *state;
    trail_act(trail, "before");
    trail_drain(trail);
    postgres_stop(trail->postgres, SIGQUIT);
    trail_act(trail, "in");
    trail_act(trail, "it");
    turn_for(trail->loop, 300);
    postgres_start_again(trail->postgres);
    trail_act(trail, "after");
    trail_drain(trail);
    trail_expect(trail, TARGETS, "before in it after");
}

/* The statement takes effect, but its answer does not come: the row waits for a lock until the
 * connection is cut off. */
static void a_record_whose_answer_got_lost_is_there_once(void **state)
{
    struct trail *trail = *state;
    PGconn *other = PQconnectdb(postgres_url(trail->postgres));
    PQclear(PQexec(other, "BEGIN; LOCK TABLE audit_personal IN SHARE MODE"));
    trail_act(trail, "once");
    turn_for(trail->loop, 5500); /* over the time of a write */
    PQclear(PQexec(other, "COMMIT"));
    PQfinish(other);
    trail_drain(trail);
    trail_expect(trail, COUNT, "1");
    trail_expect(trail, "SELECT count(*) FROM audit_personal", "1");
}

static void without_room_an_act_is_refused_and_none_is_lost(void **state)
{
    struct trail *trail = *state;
    static struct audit_act *acts[AUDIT_QUEUE_MAX];
    struct err err = {0};
    for (int i = 0; i < AUDIT_QUEUE_MAX; i++) {
        acts[i] = audit_act_begin(trail->writer, &err);
        assert_non_null(acts[i]);
    }
    struct audit_act *long_one = audit_act_begin(trail->writer, &err);
    assert_non_null(long_one); /* what is under way does not wait yet */
    for (int i = 0; i < AUDIT_QUEUE_MAX; i++) {
        audit_act_end(acts[i]);
    }
    assert_null(audit_act_begin(trail->writer, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "audit_unavailable");
    audit_act_end(long_one);
    trail_drain(trail);
    trail_expect(trail, COUNT, "4097");
}

static void so_many_acts_may_be_under_way(void **state)
{
    struct trail *trail = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (int i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = audit_act_begin(trail->writer, &err);
        assert_non_null(acts[i]);
    }
    assert_null(audit_act_begin(trail->writer, &err));
    assert_string_equal(err.reason, "audit_unavailable");
    audit_act_cancel(acts[0]);
    acts[0] = audit_act_begin(trail->writer, &err);
    assert_non_null(acts[0]);
    for (int i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
}

static const struct audit_record refusal = {.action = AUDIT_KEY_REFUSED, .result = AUDIT_REFUSED};

static void notes_leave_room_for_acts(void **state)
{
    struct trail *trail = *state;
    static struct audit_act *acts[AUDIT_NOTES_MAX];
    struct err err = {0};
    for (int i = 0; i < AUDIT_NOTES_MAX; i++) {
        acts[i] = audit_act_begin(trail->writer, &err);
        assert_non_null(acts[i]);
    }
    for (int i = 0; i < AUDIT_NOTES_MAX; i++) {
        audit_act_end(acts[i]);
    }
    audit_note(trail->writer, &refusal);
    trail_act(trail, "has room");
    trail_drain(trail);
    audit_note(trail->writer, &refusal);
    trail_drain(trail);
    trail_expect(trail,
                 "SELECT string_agg(action, ' ' ORDER BY id) FROM audit_log"
                 " WHERE action <> 'session.started'",
                 "key.created key.refused");
}

static void a_flood_of_notes_does_not_fill_the_disk(void **state)
{
    struct trail *trail = *state;
    for (int i = 0; i < AUDIT_NOTES_MAX; i++) {
        audit_note(trail->writer, &refusal);
    }
    trail_drain(trail);
    /* Of one second, or of two when the next began meanwhile. */
    trail_expect(trail, "SELECT count(*) IN (20, 40) FROM audit_log", "t");
}

struct batch {
    bool done;
    struct err err;
};

static void on_batch(const PGresult *result, const struct err *err, void *arg)
{
    struct batch *batch = arg;
    (void)result;
    batch->done = true;
    batch->err = err == NULL ? (struct err){0} : *err;
}

/* Acts of one text have one salt, and may come to wait at the same time. */
static void a_record_that_is_twice_in_a_batch_is_stored_once(void **state)
{
    struct trail *trail = *state;
    static const struct audit_record record = {.action = AUDIT_SESSION_ENDED};
    static const uint8_t salt[AUDIT_SALT_BYTES] = {1};
    static const uint8_t other_salt[AUDIT_SALT_BYTES] = {2};
    const struct audit_item items[] = {
        {.record = &record, .salt = salt},
        {.record = &record, .salt = salt},
        {.record = &record, .salt = other_salt},
    };
    struct batch batch = {0};
    if (!audit_store_insert(trail->pg, "test", items, sizeof items / sizeof items[0], 5000,
                            on_batch, &batch, &batch.err)) {
        fail_msg("%s", batch.err.message);
    }
    turn_until(trail->loop, &batch.done);
    assert_string_equal(batch.err.message, "");
    trail_expect(trail, COUNT, "2");
    trail_expect(trail, "SELECT count(*) FROM audit_personal", "2");
}

/* An actor that is no UUID: only a bug of ours makes one. */
static void a_record_that_is_refused_for_ever_does_not_hold_up_the_others(void **state)
{
    struct trail *trail = *state;
    struct err err = {0};
    struct audit_act *act = audit_act_begin(trail->writer, &err);
    assert_non_null(act);
    (void)snprintf(audit_act_record(act)->actor_user, ID_SIZE, "nobody");
    trail_act(trail, "first");
    audit_act_end(act);
    trail_act(trail, "last");
    trail_drain(trail);
    trail_expect(trail, TARGETS, "first last");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, trail_open, trail_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_is_stored_whole),
        TEST(what_is_not_known_is_null),
        TEST(records_keep_their_order),
        TEST(records_of_an_outage_come_once_behind_it),
        TEST(a_record_whose_answer_got_lost_is_there_once),
        TEST(without_room_an_act_is_refused_and_none_is_lost),
        TEST(so_many_acts_may_be_under_way),
        TEST(notes_leave_room_for_acts),
        TEST(a_flood_of_notes_does_not_fill_the_disk),
        TEST(a_record_that_is_twice_in_a_batch_is_stored_once),
        TEST(a_record_that_is_refused_for_ever_does_not_hold_up_the_others),
    };
    return cmocka_run_group_tests(tests, trail_set_up, trail_tear_down);
}
