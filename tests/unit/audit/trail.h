/* tests/unit/audit/trail.h: an audit trail in a PostgreSQL of the test's own. */
#ifndef TESTS_UNIT_AUDIT_TRAIL_H
#define TESTS_UNIT_AUDIT_TRAIL_H

#include "common/audit/writer.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

enum { TRAIL_TEXT_SIZE = 512 };

struct trail {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pg;
    struct audit_writer *writer;
};

/* For cmocka: the state is a struct trail, without the writer. */
int trail_set_up(void **state);
int trail_tear_down(void **state);

/* A writer of the service "test" on a pool and a loop, for one test; and its end. */
int trail_open(void **state);
int trail_close(void **state);

/* Makes the tables anew: nothing is in them. */
void trail_empty(struct trail *trail);

/* Ends a created-key act on that target; fails the test when it can't begin. */
void trail_act(struct trail *trail, const char *target);
/* Turns the loop until all is stored. */
void trail_drain(struct trail *trail);

/* The first column of the first row that SQL gives, as text; "" for NULL. */
void trail_ask(const struct trail *trail, const char *sql, char out[TRAIL_TEXT_SIZE]);
void trail_expect(const struct trail *trail, const char *sql, const char *expected);
/* What a failing statement says. */
void trail_expect_refusal(const struct trail *trail, const char *sql, const char *words);

#endif
