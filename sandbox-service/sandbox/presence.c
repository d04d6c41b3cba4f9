#include "sandbox-service/sandbox/presence.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>

struct seen {
    struct map_node by_id;
    char sandbox_id[ID_SIZE];
    int64_t last_ms;    /* when a gateway last had its agent */
    int64_t missing_ms; /* how long it has been away since, with gateways reporting */
    uint64_t round;     /* of the last check that named it */
};

struct presence {
    struct map sandboxes;
    int64_t lost_after_ms;
    int64_t report_ms; /* when the latest report came; 0: none yet */
    int64_t check_ms;  /* when this check began or was skipped, and the one before */
    int64_t previous_check_ms;
    uint64_t round;
};

struct presence *presence_new(int64_t lost_after_ms, struct err *err)
{
    struct presence *presence = calloc(1, sizeof *presence);
    if (presence == NULL) {
        err_set(err, ERR_INTERNAL, "presence: out of memory");
        return NULL;
    }
    presence->lost_after_ms = lost_after_ms;
    if (!map_init(&presence->sandboxes, err)) {
        free(presence);
        return NULL;
    }
    return presence;
}

static void forget(struct map_node *node, void *arg)
{
    struct presence *presence = arg;
    map_remove(&presence->sandboxes, node);
    free(MAP_ENTRY(node, struct seen, by_id));
}

void presence_free(struct presence *presence)
{
    if (presence != NULL) {
        map_each(&presence->sandboxes, forget, presence);
        map_free(&presence->sandboxes);
        free(presence);
    }
}

void presence_report_came(struct presence *presence, int64_t now_ms)
{
    presence->report_ms = now_ms;
}

static struct seen *find(struct presence *presence, const char sandbox_id[ID_SIZE])
{
    struct map_node *node = map_find(&presence->sandboxes, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct seen, by_id);
}

/* Only what a check has named is kept, so that reports of foreign ids cost nothing. */
void presence_seen_at(struct presence *presence, const char sandbox_id[ID_SIZE], int64_t now_ms)
{
    struct seen *seen = find(presence, sandbox_id);
    if (seen != NULL) {
        seen->last_ms = now_ms;
        seen->missing_ms = 0;
    }
}

void presence_seen(struct presence *presence, const char sandbox_id[ID_SIZE])
{
    presence_seen_at(presence, sandbox_id, clock_monotonic_ms());
}

void presence_check_begin(struct presence *presence, int64_t now_ms)
{
    presence->previous_check_ms = presence->round == 0 ? now_ms : presence->check_ms;
    presence->check_ms = now_ms;
    presence->round++;
}

void presence_skip_check(struct presence *presence, int64_t now_ms)
{
    presence->check_ms = now_ms;
}

static void add(struct presence *presence, const char sandbox_id[ID_SIZE])
{
    struct seen *seen = calloc(1, sizeof *seen);
    if (seen == NULL) {
        return; /* named again at the next check */
    }
    memcpy(seen->sandbox_id, sandbox_id, ID_SIZE);
    seen->last_ms = presence->check_ms;
    seen->round = presence->round;
    map_insert(&presence->sandboxes, &seen->by_id, view_of(seen->sandbox_id));
}

void presence_check(struct presence *presence, const char sandbox_id[ID_SIZE],
                    presence_lost_fn *on_lost, void *arg)
{
    struct seen *seen = find(presence, sandbox_id);
    if (seen == NULL) {
        add(presence, sandbox_id);
        return;
    }
    seen->round = presence->round;
    bool reports_come = presence->report_ms != 0 &&
                        presence->check_ms - presence->report_ms <= PRESENCE_REPORT_FRESH_MS;
    /* Whoever is connected is in a report that is at most so old. */
    bool missing = presence->check_ms - seen->last_ms > PRESENCE_REPORT_FRESH_MS;
    if (reports_come && missing) {
        seen->missing_ms += presence->check_ms - presence->previous_check_ms;
    }
    if (seen->missing_ms >= presence->lost_after_ms) {
        log_warn("agent.lost", LOG_STR("sandbox_id", sandbox_id),
                 LOG_INT("missing_ms", seen->missing_ms));
        on_lost(sandbox_id, arg);
    }
}

static void forget_unnamed(struct map_node *node, void *arg)
{
    struct presence *presence = arg;
    if (MAP_ENTRY(node, struct seen, by_id)->round != presence->round) {
        forget(node, presence);
    }
}

void presence_check_end(struct presence *presence)
{
    map_each(&presence->sandboxes, forget_unnamed, presence);
}
