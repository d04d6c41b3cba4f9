#include "auth-service/webhooks/event.h"

static const struct {
    const char *type;
    enum webhook_kind kind;
} kinds[] = {
    {"user.created", WEBHOOK_USER_CHANGED},     {"user.updated", WEBHOOK_USER_CHANGED},
    {"user.deleted", WEBHOOK_USER_DELETED},     {"session.ended", WEBHOOK_SESSION_ENDED},
    {"session.removed", WEBHOOK_SESSION_ENDED}, {"session.revoked", WEBHOOK_SESSION_ENDED},
};

struct event {
    struct view type;
    struct view data;
};
static const struct json_field event_fields[] = {
    JSON_STRING(struct event, type, "type", .required = true),
    JSON_OBJECT(struct event, data, "data", .required = true),
};

/* Of a deleted user, and of a session. */
struct subject {
    struct view id;
};
static const struct json_field subject_fields[] = {
    JSON_STRING(struct subject, id, "id", .required = true, .not_empty = true,
                .max_len = CLAIM_TEXT_MAX),
};

static enum webhook_kind kind_of(struct view type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (view_equal(type, view_of(kinds[i].type))) {
            return kinds[i].kind;
        }
    }
    return WEBHOOK_OTHER;
}

static bool read_id(struct view data, char *out, size_t size, struct err *err)
{
    struct subject subject;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(data, &JSON_SCHEMA(subject_fields), &subject, NULL, err);
    return doc != NULL && (view_copy(subject.id, out, size) ||
                           err_set(err, ERR_INVALID, "the id is longer than ids are"));
}

static bool read_data(struct view data, struct webhook_event *out, struct err *err)
{
    switch (out->kind) {
    case WEBHOOK_USER_CHANGED:
        return clerk_user_read(data, &out->user, err);
    case WEBHOOK_USER_DELETED:
        return read_id(data, out->user.subject, sizeof out->user.subject, err);
    case WEBHOOK_SESSION_ENDED:
        return read_id(data, out->session_id, sizeof out->session_id, err) &&
               (session_id_is_sound(view_of(out->session_id)) ||
                err_set(err, ERR_INVALID, "the id is none of a session"));
    case WEBHOOK_OTHER:
        break;
    }
    return true;
}

bool webhook_event_read(struct view body, struct webhook_event *out, struct err *err)
{
    struct event event;
    struct err cause;
    *out = (struct webhook_event){0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &JSON_SCHEMA(event_fields), &event, NULL, &cause);
    if (doc != NULL) {
        out->kind = kind_of(event.type);
        out->is_new_user = view_equal(event.type, VIEW("user.created"));
        if (read_data(event.data, out, &cause)) {
            return true;
        }
    }
    return err_set_reason(err, ERR_INVALID, "webhook_unreadable", "webhook: %s", cause.message);
}
