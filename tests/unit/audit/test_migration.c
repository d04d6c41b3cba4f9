/* migrations/0005_audit.sql: rows are only added, and become visible in the order of their ids. */
#include "tests/unit/audit/trail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define INSERT                                                                                     \
    "INSERT INTO audit_log (action, result, service, personal_digest)"                             \
    " VALUES ('key.created', 'ok', 'test', decode(md5(random()::text) || md5(random()::text), "    \
    "'hex'))"
#define SEAL "INSERT INTO audit_seals VALUES (1, 1, decode(repeat('00', 32), 'hex'))"
#define PERSONAL                                                                                   \
    "INSERT INTO audit_personal VALUES (1, decode(repeat('00', 32), 'hex'), '10.0.0.1')"

static int empty(void **state)
{
    trail_empty(*state);
    return 0;
}

static void rows_can_neither_change_nor_go(void **state)
{
    struct trail *trail = *state;
    static const char *const statements[] = {
        "UPDATE audit_log SET result = 'ok'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log CASCADE",
        "UPDATE audit_seals SET seq = 2",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
        "UPDATE audit_personal SET address = NULL",
        "TRUNCATE audit_personal",
        "SET session_replication_role = replica; DELETE FROM audit_log",
    };
    postgres_run(trail->postgres, INSERT);
    postgres_run(trail->postgres, SEAL);
    postgres_run(trail->postgres, PERSONAL);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        trail_expect_refusal(trail, statements[i], "only ever added to");
    }
    trail_expect(trail, "SELECT count(*) FROM audit_log JOIN audit_seals ON id = audit_id", "1");
}

static void personal_part_can_be_erased(void **state)
{
    struct trail *trail = *state;
    postgres_run(trail->postgres, INSERT);
    postgres_run(trail->postgres, PERSONAL);
    postgres_run(trail->postgres, "DELETE FROM audit_personal WHERE audit_id = 1");
    trail_expect(trail, "SELECT count(*) FROM audit_personal", "0");
}

/* The second insert gets its id only when the first has ended. */
static void a_later_id_is_never_seen_before_an_earlier_one(void **state)
{
    struct trail *trail = *state;
    PGconn *first = PQconnectdb(postgres_url(trail->postgres));
    PGconn *second = PQconnectdb(postgres_url(trail->postgres));
    PQclear(PQexec(first, "BEGIN"));
    PQclear(PQexec(first, INSERT));
    assert_int_equal(PQsendQuery(second, INSERT), 1);
    postgres_run(trail->postgres,
                 "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
                 " AND NOT granted) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$");
    trail_expect(trail, "SELECT last_value FROM audit_log_id_seq", "1");
    trail_expect(trail, "SELECT count(*) FROM audit_log", "0");
    PQclear(PQexec(first, "COMMIT"));
    PQclear(PQgetResult(second));
    trail_expect(trail, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM audit_log", "1 2");
    PQfinish(first);
    PQfinish(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(rows_can_neither_change_nor_go, empty),
        cmocka_unit_test_setup(personal_part_can_be_erased, empty),
        cmocka_unit_test_setup(a_later_id_is_never_seen_before_an_earlier_one, empty),
    };
    return cmocka_run_group_tests(tests, trail_set_up, trail_tear_down);
}
