#include "auth-service/webhooks/webhooks.h"

#include "auth-service/tokens/store.h"
#include "auth-service/users/revoked_sessions.h"
#include "auth-service/webhooks/event.h"
#include "auth-service/webhooks/store.h"
#include "common/audit/act.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <stdlib.h>

struct webhooks {
    struct webhooks_options options; /* secrets is not used behind the opening */
    struct svix_secrets secrets;
};

/* EFFECT (in PostgreSQL, and for a session in Redis behind that), then ANNOUNCE when gateways have
 * to know. */
struct arrival {
    const struct webhooks_options *parts; /* borrowed */
    struct webhook_event event;
    char delivery[SVIX_ID_MAX + 1];
    struct trace trace;
    int64_t deadline_ms; /* monotonic */
    struct webhook_outcome outcome;
    struct audit_act *act; /* owned until it is known what came of it; NULL: it has no effect */
    webhook_done_fn *done;
    void *arg;
};

/* The only way out. */
static void finish(struct arrival *arrival, const struct err *err)
{
    arrival->done(err, arrival->arg);
    free(arrival);
}

static void on_announced(bool published, void *arg)
{
    struct arrival *arrival = arg;
    if (!published) {
        log_warn("invalidation.delayed", LOG_STR("webhook_id", arrival->delivery));
    }
    finish(arrival, NULL);
}

/* What gateways hold of it ends by itself within a minute: no reason to have the webhook again. */
static void tell_gateways(struct arrival *arrival, enum invalidation_kind kind, const char *id)
{
    struct err err;
    if (!announce(arrival->parts->announcer, kind, id, on_announced, arrival, &err)) {
        log_error("invalidation.not_published", LOG_STR("webhook_id", arrival->delivery),
                  LOG_ERR(&err));
        finish(arrival, NULL);
    }
}

static void log_outcome(const struct arrival *arrival)
{
    static const char *const names[] = {[WEBHOOK_OTHER] = "webhook.other",
                                        [WEBHOOK_USER_CHANGED] = "webhook.user_changed",
                                        [WEBHOOK_USER_DELETED] = "webhook.user_deleted",
                                        [WEBHOOK_SESSION_ENDED] = "webhook.session_ended"};
    log_info(names[arrival->event.kind], LOG_STR("webhook_id", arrival->delivery),
             LOG_STR("outcome", arrival->outcome.word),
             LOG_STR("user_id", arrival->outcome.user_id), LOG_TRACE(&arrival->trace));
}

static enum audit_action action_of(const struct arrival *arrival)
{
    if (arrival->event.kind == WEBHOOK_USER_DELETED) {
        return AUDIT_USER_DELETED;
    }
    if (arrival->outcome.refused_now) {
        return AUDIT_USER_SUSPENDED;
    }
    return arrival->event.is_new_user ? AUDIT_USER_CREATED : AUDIT_USER_UPDATED;
}

/* Of those that had an effect, now. */
static void record_outcome(struct arrival *arrival, const struct err *err)
{
    struct audit_act *act = TAKE(arrival->act);
    const struct webhook_outcome *outcome = &arrival->outcome;
    bool had_effect = strcmp(outcome->word, "taken") == 0 && outcome->user_id[0] != '\0';
    if (act == NULL || (err == NULL && !had_effect)) {
        audit_act_cancel(act);
        return;
    }
    struct audit_record *record = audit_act_record(act);
    record->action = action_of(arrival);
    audit_record_set_detail(record, "by", VIEW("webhook"));
    audit_act_end_with(act, outcome->user_id, err);
}

static void on_stored(const PGresult *result, const struct err *err, void *arg)
{
    struct arrival *arrival = arg;
    struct err failure;
    if (err == NULL && !webhook_store_read(result, &arrival->outcome, &failure)) {
        err = &failure;
    }
    record_outcome(arrival, err);
    if (err != NULL) {
        finish(arrival, err);
        return;
    }
    log_outcome(arrival);
    if (arrival->outcome.refused_now) {
        tell_gateways(arrival, INVALIDATE_USER, arrival->outcome.user_id);
    } else {
        finish(arrival, NULL);
    }
}

/* Again does no harm: such a webhook needs no memory. */
static void on_denied(const redisReply *reply, const struct err *err, void *arg)
{
    struct arrival *arrival = arg;
    (void)reply;
    if (err != NULL) {
        audit_act_cancel(TAKE(arrival->act)); /* it comes again */
        finish(arrival, err);
        return;
    }
    audit_act_end_with(TAKE(arrival->act), arrival->event.session_id, NULL);
    (void)view_copy(VIEW("taken"), arrival->outcome.word, sizeof arrival->outcome.word);
    log_outcome(arrival);
    tell_gateways(arrival, INVALIDATE_SESSION, arrival->event.session_id);
}

/* Client tokens that the session made are refused from here on, its own by what is still to do. */
static void on_session_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct arrival *arrival = arg;
    const struct webhooks_options *parts = arrival->parts;
    int64_t left_ms = arrival->deadline_ms - clock_monotonic_ms();
    struct err failure;
    (void)result;
    if (err != NULL) {
        on_denied(NULL, err, arrival);
    } else if (!revoked_sessions_add(parts->redis, parts->instance, arrival->event.session_id,
                                     left_ms > 0 ? left_ms : 1, on_denied, arrival, &failure)) {
        on_denied(NULL, &failure, arrival);
    }
}

static bool take_effect(struct arrival *arrival, int64_t timeout_ms, struct err *err)
{
    const struct webhooks_options *parts = arrival->parts;
    const struct webhook_event *event = &arrival->event;
    switch (event->kind) {
    case WEBHOOK_USER_CHANGED:
        return webhook_store_user_changed(parts->pg, arrival->delivery, parts->issuer, &event->user,
                                          timeout_ms, on_stored, arrival, err);
    case WEBHOOK_USER_DELETED:
        return webhook_store_user_deleted(parts->pg, arrival->delivery, parts->issuer,
                                          event->user.subject, timeout_ms, on_stored, arrival, err);
    case WEBHOOK_SESSION_ENDED:
        return token_maker_end_session(parts->pg, event->session_id, timeout_ms, on_session_ended,
                                       arrival, err);
    case WEBHOOK_OTHER:
        break;
    }
    return webhook_store_other(parts->pg, arrival->delivery, timeout_ms, on_stored, arrival, err);
}

/* Without a place for its record it has no effect: the sender sends it again. */
static bool begin_act(struct arrival *arrival, struct err *err)
{
    struct audit_writer *audit = arrival->parts->audit;
    const struct webhook_event *event = &arrival->event;
    switch (event->kind) {
    case WEBHOOK_OTHER:
        return true;
    case WEBHOOK_SESSION_ENDED:
        arrival->act = revoked_sessions_begin_act(audit, event->session_id, err);
        break;
    case WEBHOOK_USER_CHANGED:
    case WEBHOOK_USER_DELETED:
        arrival->act = audit_act_begin_by(audit, AUDIT_USER_UPDATED, "user", &actor_none,
                                          arrival->trace.request_id, err);
        break;
    }
    return arrival->act != NULL;
}

static bool check(const struct webhooks *webhooks, const struct svix_message *message,
                  struct webhook_event *event, struct err *err)
{
    enum { MS_IN_S = 1000 };
    if (webhooks->secrets.count == 0) {
        return err_set_reason(err, ERR_UNAVAILABLE, "webhooks_not_configured",
                              "Webhooks are not set up here: set CLERK_WEBHOOK_SIGNING_SECRET");
    }
    return svix_verify(&webhooks->secrets, message, clock_wall_ms() / MS_IN_S, err) &&
           webhook_event_read(message->body, event, err);
}

bool webhook_receive(struct webhooks *webhooks, const struct svix_message *message,
                     const struct trace *trace, int64_t timeout_ms, webhook_done_fn *done,
                     void *arg, struct err *err)
{
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL) {
        return err_set(err, ERR_INTERNAL, "webhook: out of memory");
    }
    arrival->parts = &webhooks->options;
    arrival->done = done;
    arrival->arg = arg;
    arrival->trace = *trace;
    arrival->deadline_ms = clock_monotonic_ms() + timeout_ms;
    bool checked = check(webhooks, message, &arrival->event, err);
    if (!checked) {
        log_info("webhook.refused", LOG_ERR(err), LOG_TRACE(&arrival->trace));
    }
    if (checked && !view_copy(message->id, arrival->delivery, sizeof arrival->delivery)) {
        checked = err_set_reason(err, ERR_INVALID, "webhook_refused", "its id holds a NUL");
    }
    if (!checked || !begin_act(arrival, err) || !take_effect(arrival, timeout_ms, err)) {
        audit_act_cancel(arrival->act);
        free(arrival);
        return false;
    }
    return true;
}

struct webhooks *webhooks_open(const struct webhooks_options *options, struct err *err)
{
    struct webhooks *webhooks = calloc(1, sizeof *webhooks);
    if (webhooks == NULL) {
        err_set(err, ERR_INTERNAL, "webhooks: out of memory");
        return NULL;
    }
    webhooks->options = *options;
    if (!svix_secrets_read(options->secrets, &webhooks->secrets, err)) {
        err_wrap(err, "CLERK_WEBHOOK_SIGNING_SECRET");
        webhooks_close(webhooks);
        return NULL;
    }
    if (webhooks->secrets.count > 0 && options->issuer[0] == '\0') {
        err_set(err, ERR_INVALID,
                "CLERK_WEBHOOK_SIGNING_SECRET is set, but not whose users the webhooks are about: "
                "set CLERK_ISSUER and where its keys are");
        webhooks_close(webhooks);
        return NULL;
    }
    return webhooks;
}

void webhooks_close(struct webhooks *webhooks)
{
    if (webhooks != NULL) {
        secret_wipe(&webhooks->secrets, sizeof webhooks->secrets);
        free(webhooks);
    }
}
