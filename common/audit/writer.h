/* common/audit/writer.h: brings records of the audit trail to PostgreSQL (or to who has it), behind
 * the requests.
 *
 * Records wait in a bounded queue and go in batches, in their order, each exactly once, however
 * often the database goes away meanwhile. A process that is killed takes along what still waits
 * there: with PostgreSQL up that is what came within the last write. */
#ifndef COMMON_AUDIT_WRITER_H
#define COMMON_AUDIT_WRITER_H

#include "common/audit/record.h"
#include "common/db/pg.h"

/* For the pool that the writer is given. */
enum { AUDIT_STATEMENT_COUNT = 1 };
extern const struct pg_statement audit_statements[AUDIT_STATEMENT_COUNT];

enum {
    AUDIT_QUEUE_MAX = 4096, /* records that wait: beyond it no act begins */
    /* A command may be under way for hours, and keeps no other act from its place. */
    AUDIT_ACTS_MAX = 4 * AUDIT_QUEUE_MAX, /* acts under way: each has its place when it ends */
    /* Notes leave the rest of the queue to acts, so that a flood of refusals stops no act. */
    AUDIT_NOTES_MAX = AUDIT_QUEUE_MAX / 2,
    AUDIT_NOTES_PER_S = 20, /* nor does it fill the disk */
};

struct audit_writer;

/* Borrows loop, pg and service (which every record names). */
struct audit_writer *audit_writer_open(struct loop *loop, struct pg_pool *pg, const char *service,
                                       struct err *err) MUST_CHECK;

enum { AUDIT_BATCH_MAX = 64 }; /* records that are sent at once */

/* A record on its way. One that was stored with the same salt is not stored again. */
struct audit_item {
    const struct audit_record *record; /* cleaned */
    const uint8_t *salt;               /* AUDIT_SALT_BYTES */
    int64_t age_ms;                    /* how long ago it happened */
};
/* err is NULL when all are stored. ERR_UNAVAILABLE, ERR_TIMEOUT and ERR_LIMIT mean: later. */
typedef void audit_stored_fn(const struct err *err, void *arg);
/* Where records go. One batch is under way at a time. */
struct audit_sink {
    /* Copies items. done comes once, later; or false, and it does not come. */
    bool (*store)(void *arg, const struct audit_item *items, size_t count, audit_stored_fn *done,
                  void *done_arg, struct err *err);
    void (*close)(void *arg); /* frees arg; nothing is under way any more */
    void *arg;
};
/* Takes what the sink has, also when it fails. */
struct audit_writer *audit_writer_open_to(struct loop *loop, const struct audit_sink *sink,
                                          struct err *err) MUST_CHECK;

typedef void audit_drained_fn(void *arg);
/* done comes when nothing waits any more and no act is under way; at once when that is so now. */
void audit_writer_drain(struct audit_writer *writer, audit_drained_fn *done, void *arg);

/* Records that wait, and acts under way. */
size_t audit_writer_count(const struct audit_writer *writer);

/* Nothing is sent from here on: before the pool is closed. */
void audit_writer_stop(struct audit_writer *writer);
/* After every act ended, and after it was drained or the pool was closed. What still waits goes to
 * the log. Accepts NULL. */
void audit_writer_close(struct audit_writer *writer);

/* An act that changes something: its record has its place before it begins. */
struct audit_act;

/* ERR_UNAVAILABLE "audit_unavailable" when there is no room for a record: then nothing may be done.
 * Otherwise the caller ends the act with one of the two below. */
struct audit_act *audit_act_begin(struct audit_writer *writer, struct err *err) MUST_CHECK;
/* Of all acts that are given this text one record is stored, if they are alike in who acted from
 * where: it is the first. */
void audit_act_set_once(struct audit_act *act, struct view text);
/* To be filled in before the end. It begins empty. */
struct audit_record *audit_act_record(struct audit_act *act);
/* The record goes its way. Frees the act. */
void audit_act_end(struct audit_act *act);
/* Nothing was done that a record should tell of. Frees the act; accepts NULL. */
void audit_act_cancel(struct audit_act *act);

/* What changed nothing (a refusal). Copies the record; dropped, and counted in the log, when
 * AUDIT_NOTES_MAX others wait, or as many as may come in a second did. */
void audit_note(struct audit_writer *writer, const struct audit_record *record);

#endif
