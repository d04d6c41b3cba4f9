/* tests/unit/sandbox-service/claim_stage.h: the rows of the pool and of sandboxes in a real
 * PostgreSQL with our migrations. */
#ifndef TESTS_UNIT_SANDBOX_SERVICE_CLAIM_STAGE_H
#define TESTS_UNIT_SANDBOX_SERVICE_CLAIM_STAGE_H

#include "sandbox-service/pool/store.h"
#include "sandbox-service/sandbox/store.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#define USER "11111111-1111-4111-8111-111111111111"
#define PRO_USER "22222222-2222-4222-8222-222222222222"
#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"
#define ASKED "bbbbbbbb-bbbb-4bbb-8bbb-000000000001"
#define BUNDLE "agent-1"

enum { FREE_MB = 512, PRO_MB = 1024, SQL_SIZE = 1024 };

struct claim_stage {
    struct postgres *postgres;
    struct loop *loop;
    struct store *store;
    struct pool_store *pool;
    struct store_bounds bounds;
};

struct claim_answer {
    bool done;
    int rows;
    struct err err;
    char id[ID_SIZE];
    char status[16];
    char work_dir[16];
    bool is_warm;
    bool limits_differ;
    int64_t generation;
    char *image; /* borrowed */
};

/* One more that waits, and came at_s seconds from now. */
void claim_stage_wait(const struct claim_stage *stage, const char *id, const char *tier,
                      int memory_mb, int at_s);
/* Fills in an answer without what is in its rows. */
void claim_stage_on_rows(const PGresult *result, const struct err *err, void *arg);
/* The same with what is in them. */
void claim_stage_on_begun(const PGresult *result, const struct err *err, void *arg);
/* Begins a create, or a claim, of base. All is borrowed until the answer. */
void claim_stage_ask(struct claim_stage *stage, struct store_call *call, const char *id,
                     const char *user, const struct store_claim *claim,
                     struct claim_answer *answer);
/* The same of ASKED, and waits for the answer. */
struct claim_answer claim_stage_create(struct claim_stage *stage, const char *user,
                                       const char *mode, const char *dead);
/* What there is, as "1 ready,2 leaving": the end of the id, and the status. */
void claim_stage_expect(const struct claim_stage *stage, const char *expected);

/* Of a group, and of each test. */
int claim_stage_open(void **state);
int claim_stage_close(void **state);
int claim_stage_insert(void **state);
int claim_stage_clear(void **state);

#endif
