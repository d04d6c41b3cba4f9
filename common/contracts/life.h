/* common/contracts/life.h: what gateways ask the sandbox-service of a sandbox's time and rest. Each
 * message is a struct and the schema that reads and writes it; strings point into the document they
 * were read from. All but the last: ERR_NOT_FOUND "sandbox_not_found" for unknown ids and ids of
 * others, ERR_CONFLICT "sandbox_ended". */
#ifndef COMMON_CONTRACTS_LIFE_H
#define COMMON_CONTRACTS_LIFE_H

#include "common/base/id.h"
#include "common/json/read.h"

#define PAUSE_FREEZE "freeze" /* processes stand still, memory stays */
#define PAUSE_DISK "disk"     /* processes end, files stay */

enum {
    IDLE_TIMEOUT_MS_MIN = 10 * 1000, /* above how often gateways report activity */
    ACTIVE_IDS_MAX = 1024,
    ACTIVE_AGE_DIGITS_MAX = 9,
};

/* What the three below answer with, and what the sandbox is then. */
struct life_state {
    struct view status;
    struct view expires_at; /* RFC 3339; empty while paused: its clock stands still */
    struct view paused_at;  /* empty unless paused */
    struct view pause_mode; /* empty unless it rests or is about to */
    struct view ends_at; /* the earlier of expires_at and the end of its idle time; may be empty */
    struct view on_timeout;  /* "destroy", "pause" */
    int64_t idle_timeout_ms; /* 0: none */
    bool auto_resume;
};
extern const struct json_schema life_state_schema;
extern const char *const pause_modes[];

/* sandbox.pause -> life_state, when it is paused; also when it was. ERR_CONFLICT "sandbox_starting"
 * while it is being created; ERR_UNAVAILABLE "docker_unavailable", "pause_failed". */
#define SANDBOX_PAUSE "sandbox.pause"
struct sandbox_pause {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    struct view mode; /* of pause_modes */
};
extern const struct json_schema sandbox_pause_schema;

/* sandbox.resume -> life_state, when it runs (one from disk: its agent has connected); also when it
 * ran. ERR_CONFLICT "sandbox_paused" when it is automatic and the sandbox is not to be woken so;
 * ERR_UNAVAILABLE "docker_unavailable", "resume_failed". */
#define SANDBOX_RESUME "sandbox.resume"
struct sandbox_resume {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t timeout_ms; /* from now on; 0: what was left, or as long as before when nothing was */
    bool is_automatic;  /* traffic came for it */
};
extern const struct json_schema sandbox_resume_schema;

/* sandbox.times -> life_state. */
#define SANDBOX_TIMES "sandbox.times"
struct sandbox_times {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t timeout_ms;      /* from now on, cut to what the tier has left; -1: as it is */
    int64_t idle_timeout_ms; /* 0: none; -1: as it is */
    struct view on_timeout;  /* of timeout_policies (sandbox.h); empty: as it is */
    bool auto_resume;
    bool has_auto_resume; /* else as it is */
};
extern const struct json_schema sandbox_times_schema;

/* sandbox.active -> {}: something was done through a gateway in these sandboxes. The value is how
 * many ms ago. */
#define SANDBOX_ACTIVE "sandbox.active"
struct sandbox_active {
    char gateway_id[ID_SIZE];
    struct json_pairs active; /* sandbox id: ms */
};
extern const struct json_schema sandbox_active_schema;
/* False for what is no such pair. */
bool sandbox_active_read(const struct json_pair *pair, char sandbox_id[ID_SIZE], int64_t *age_ms);

#endif
