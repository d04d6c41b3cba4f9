#include "auth-service/users/admin_store.h"

#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>

#define LIST "admin_list_users"
#define CHANGE "admin_change_user"

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define STATUS                                                                                     \
    "CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted'"                                            \
    " WHEN u.suspended_at IS NOT NULL THEN 'suspended' ELSE 'active' END"
/* Of "users u". */
#define COLUMNS                                                                                    \
    "u.id, u.email, coalesce(u.chosen_name, u.display_name), u.tier, u.role, " STATUS              \
    ", " ISO("u.created_at") ", " ISO("u.suspended_at") ", u.suspended_reason, " ISO(              \
        "u.deleted_at") ","                                                                        \
                        " (SELECT coalesce(json_agg(json_build_object('issuer', i.issuer, "        \
                        "'subject', i.subject)"                                                    \
                        " ORDER BY i.created_at, i.subject), '[]') FROM identities i WHERE "       \
                        "i.user_id = u.id),"                                                       \
                        " (extract(epoch FROM u.created_at) * 1000000)::bigint"
enum {
    COLUMN_ID,
    COLUMN_STATUS = 5,
    COLUMN_IDENTITIES = 10,
    COLUMN_CREATED_US,
};
static const char *const names[COLUMN_IDENTITIES] = {
    "id",        "email",       "displayName",     "tier",      "role", "status",
    "createdAt", "suspendedAt", "suspendedReason", "deletedAt",
};

const struct pg_statement admin_statements[ADMIN_STATEMENT_COUNT] = {
    {LIST, "SELECT " COLUMNS " FROM users u"
           " WHERE ($1::text = '' OR lower(u.email) = lower($1))"
           " AND ($2::text = '' OR u.tier = $2)"
           " AND ($3::text = '' OR " STATUS " = $3)"
           " AND ($4::text = '' OR (u.created_at, u.id) <"
           " (timestamptz 'epoch' + nullif($4, '')::bigint * interval '1 microsecond',"
           " nullif($5::text, '')::uuid))"
           " ORDER BY u.created_at DESC, u.id DESC LIMIT $6::int"},
    {CHANGE, "SELECT " COLUMNS " FROM admin_change_user($1::uuid, nullif($2::text, '')::uuid,"
             " $3::uuid, nullif($4::text, ''), nullif($5::text, '')::boolean,"
             " nullif($6::text, '')) u"},
};

enum { NUMBER_SIZE = 24, WORD_SIZE = 16 };

/* What does not fit was refused by the contract already. */
static bool copy(struct view text, char *out, size_t size, struct err *err)
{
    return view_copy(text, out, size) ||
           err_set_reason(err, ERR_INVALID, "validation_failed", "a NUL, or too long a text");
}

bool admin_list_users(struct pg_pool *pg, const struct admin_list_users *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err)
{
    struct position_parameters after;
    char email[ADMIN_EMAIL_MAX + 1];
    char tier[WORD_SIZE];
    char status[WORD_SIZE];
    char rows[NUMBER_SIZE];
    if (!position_parameters_read(wanted->cursor, &after, err) ||
        !copy(wanted->email, email, sizeof email, err) ||
        !copy(wanted->tier, tier, sizeof tier, err) ||
        !copy(wanted->status, status, sizeof status, err)) {
        return false;
    }
    (void)snprintf(rows, sizeof rows, "%" PRId64, wanted->limit + 1);
    const struct pg_parameters parameters = {
        {email, tier, status, after.created_us, after.id, rows}, 6};
    return pg_query_begin(pg, LIST, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool admin_change_user(struct pg_pool *pg, const struct admin_change_user *change,
                       int64_t timeout_ms, pg_result_fn *done, void *arg, struct err *err)
{
    char tier[WORD_SIZE];
    char reason[ADMIN_REASON_BYTES_MAX + 1];
    const char *suspended = !change->sets_suspended ? "" : change->suspended ? "true" : "false";
    if (!copy(change->tier, tier, sizeof tier, err) ||
        !copy(change->reason, reason, sizeof reason, err)) {
        return false;
    }
    const struct pg_parameters parameters = {
        {change->admin_id, change->admin_key_id, change->user_id, tier, suspended, reason}, 6};
    return pg_query_begin(pg, CHANGE, &parameters, timeout_ms, done, arg, err) != NULL;
}

static void write_user(const PGresult *result, int row, struct json_writer *writer)
{
    json_begin_object(writer, NULL);
    for (int column = 0; column < COLUMN_IDENTITIES; column++) {
        json_string_or_null(writer, names[column], pg_text(result, row, column));
    }
    json_raw(writer, "identities", view_of(pg_text(result, row, COLUMN_IDENTITIES)));
    json_end_object(writer);
}

void admin_users_read(const PGresult *result, int count, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_array(&writer, NULL);
    for (int row = 0; row < count; row++) {
        write_user(result, row, &writer);
    }
    json_end_array(&writer);
}

void admin_user_position(const PGresult *result, int row, struct position *out)
{
    position_read(result, row, COLUMN_ID, COLUMN_CREATED_US, out);
}

void admin_user_read(const PGresult *result, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    write_user(result, 0, &writer);
}

bool admin_user_is_suspended(const PGresult *result)
{
    return strcmp(pg_text(result, 0, COLUMN_STATUS), "suspended") == 0;
}
