/* tests/unit/sandbox-service/life_stage.h: one sandbox whose row is in a real PostgreSQL and whose
 * container is of an engine_stage, and what acts on its time and rest. */
#ifndef TESTS_UNIT_SANDBOX_SERVICE_LIFE_STAGE_H
#define TESTS_UNIT_SANDBOX_SERVICE_LIFE_STAGE_H

#include "sandbox-service/life/shift.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "tests/support/postgres.h"
#include "tests/unit/sandbox-service/engine_stage.h"

#define LIFE_OWNER "11111111-1111-4111-8111-111111111111"
#define LIFE_BOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"

struct life_stage {
    struct postgres *postgres;
    struct loop *loop;
    struct sandbox_config config;
    struct agent_dirs dirs;
    struct sandboxes sandboxes; /* all that its shifts, and a reaper, need */
    struct engine_stage engine;
    char folder[FOLDER_PATH_SIZE];
};

/* For cmocka: *state is the stage. */
int life_stage_open(void **state);
int life_stage_close(void **state);
/* Of each test: the row is `running`, and so is the container; ends all that is under way. */
int life_stage_set(void **state);
int life_stage_clear(void **state);

/* Sets columns of the row: "status = 'pausing', ...". */
void life_stage_change(const struct life_stage *stage, const char *changes);
void life_stage_expect(const struct life_stage *stage, const char *what, const char *expected);
/* Turns until the row is so. */
void life_stage_until(struct life_stage *stage, const char *what, const char *expected);

#endif
