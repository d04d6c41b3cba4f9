/* sandbox-service/sandbox/sandboxes.h: what all acts on sandboxes share. */
#ifndef SANDBOX_SANDBOX_SANDBOXES_H
#define SANDBOX_SANDBOX_SANDBOXES_H

#include "common/base/map.h"
#include "common/event/loop.h"
#include "sandbox-service/config.h"
#include "sandbox-service/credential/agent_dir.h"
#include "sandbox-service/docker/abilities.h"
#include "sandbox-service/docker/bundle.h"
#include "sandbox-service/docker/wire.h"

struct audit_writer;
struct docker;
struct events;
struct images;
struct life_calls;
struct network;
struct networks;
struct pool;
struct ports;
struct presence;
struct reaper;
struct redis;
struct room;
struct secrets;
struct shifts;
struct restricted;
struct starts;
struct stills;
struct store;
struct system;
struct templates;
struct volumes;

enum {
    SANDBOX_KEY_SIZE = 96, /* of one in Redis */
    REMOVALS_AT_A_TIME = 4,
    CREATE_MAX_MS = 60000, /* from the request to the agent's first connect, at most */
};

/* Everything is borrowed but the maps and the list. */
struct sandboxes {
    struct loop *loop;
    const struct sandbox_config *config;
    struct docker *docker;
    struct images *images;
    struct store *store;
    struct audit_writer *audit;
    struct redis *redis;
    struct agent_dirs *dirs;
    struct starts *starts;
    struct network *network;
    struct networks *networks;
    struct restricted *restricted;
    struct presence *presence;
    struct ports *ports;
    struct templates *templates;
    struct shifts *shifts;
    struct stills *stills; /* NULL while it is not open */
    struct life_calls *life_calls;
    struct system *system;
    struct room *room;     /* NULL: not looked at */
    struct reaper *reaper; /* NULL while it is not open */
    struct events *events; /* NULL while it opens or closes */
    struct pool *pool;     /* NULL: there is none */
    struct secrets *secrets;
    struct volumes *volumes;
    const char *seccomp; /* the profile's text */
    char agent_volume[BUNDLE_VOLUME_SIZE];
    int64_t open_files_max;            /* that the engine can give; its limit is taken to be ours */
    char channel[96];                  /* where changes are published */
    struct abilities abilities;        /* of the engine, once it is ready */
    char runtimes[WIRE_RUNTIMES_SIZE]; /* of it */
    bool engine_ready;                 /* the agent's volume is there and the remapping known */
    bool draining;                     /* no creates any more */
    struct map creating; /* creates from request to the agent's first connect, by sandbox id */
    struct map removing; /* removals that wait or run, by sandbox id */
    struct list removals_waiting;
    size_t removals_running;
};

bool sandboxes_init(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* When nothing is in flight any more. */
void sandboxes_clear(struct sandboxes *sandboxes);

/* Tells the gateways that a sandbox's row changed. Redis away: they forget by themselves soon. */
void sandboxes_publish(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE]);
/* What Redis has of a sandbox: where its agent is connected, and a copy of its ports. */
void sandboxes_location_key(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                            char out[SANDBOX_KEY_SIZE]);
void sandboxes_ports_key(const struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                         char out[SANDBOX_KEY_SIZE]);
/* Remembers, or forgets (gateway_id NULL), which gateway a sandbox's agent is connected to. */
void sandboxes_locate(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                      const char *gateway_id);
/* Tells, for stats, how much a sandbox has written over its image; forgotten after life_s. */
void sandboxes_tell_disk(struct sandboxes *sandboxes, const char sandbox_id[ID_SIZE],
                         int64_t written_bytes, int64_t life_s);

#endif
