#include "auth-service/audit/trail_store.h"

#include "common/base/encode.h"
#include "common/json/write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OF_USER "audit_trail_of_user"
#define OF_ALL "audit_trail_of_all"
#define OF_TARGET "audit_trail_of_target"

enum { NUMBER_SIZE = 24, ID_DIGITS_MAX = 19 };

/* Parameters: $1 a user or nothing, $2 the id that the page is before, $3 an action, $4 a target,
 * $5 and $6 a time in ms, $7 how many, $8 whether an administrator reads. */
#define FILTERS                                                                                    \
    " l.id < $2::bigint AND ($3::text = '' OR l.action = $3)"                                      \
    " AND ($5::bigint = 0 OR l.at >= to_timestamp($5::bigint / 1000.0))"                           \
    " AND ($6::bigint = 0 OR l.at < to_timestamp($6::bigint / 1000.0))"
#define ANY_TARGET " AND ($4::text = '' OR l.target = $4)"
/* What leads to a person is shown to that person, and to administrators. */
#define MAY_SEE "CASE WHEN $8::boolean OR l.actor_user = nullif($1::text, '')::uuid THEN "
#define SHOW(page)                                                                                 \
    "SELECT l.id,"                                                                                 \
    " to_char(l.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), l.action, l.result,"  \
    " l.actor_user, l.actor_key, l.target_kind, l.target, " MAY_SEE                                \
    "host(p.address) END, " MAY_SEE "p.impersonator END, " MAY_SEE                                 \
    "p.user_agent END, l.request_id, l.detail"                                                     \
    " FROM (" page ") page JOIN audit_log l ON l.id = page.id"                                     \
    " LEFT JOIN audit_personal p ON p.audit_id = l.id ORDER BY l.id DESC LIMIT $7::int"

/* Each part is read from an index, newest first, and no further than the page. */
const struct pg_statement audit_trail_statements[AUDIT_TRAIL_STATEMENT_COUNT] = {
    {OF_USER,
     SHOW("(SELECT l.id FROM audit_log l WHERE l.actor_user = $1::uuid AND" FILTERS ANY_TARGET
          " ORDER BY l.id DESC LIMIT $7::int) UNION ALL"
          " (SELECT l.id FROM audit_concerns c JOIN audit_log l ON l.id = c.audit_id"
          " WHERE c.user_id = $1::uuid AND c.audit_id < $2::bigint AND" FILTERS ANY_TARGET
          " ORDER BY c.audit_id DESC LIMIT $7::int)")},
    {OF_ALL, SHOW("SELECT l.id FROM audit_log l WHERE" FILTERS ANY_TARGET
                  " ORDER BY l.id DESC LIMIT $7::int")},
    {OF_TARGET, SHOW("SELECT l.id FROM audit_log l WHERE l.target = $4::text AND" FILTERS
                     " ORDER BY l.id DESC LIMIT $7::int")},
};

static void cursor_write(const char *id, char out[AUDIT_CURSOR_SIZE])
{
    (void)encode_base64(ENCODE_BASE64_URL, id, strnlen(id, ID_DIGITS_MAX), out);
}

/* "" begins with the newest. */
static bool cursor_read(struct view cursor, char out[NUMBER_SIZE], struct err *err)
{
    uint8_t bytes[ENCODE_BASE64_DECODED_MAX(AUDIT_CURSOR_SIZE)];
    size_t len = 0;
    if (cursor.len == 0) {
        (void)snprintf(out, NUMBER_SIZE, "%" PRId64, INT64_MAX);
        return true;
    }
    bool ok = cursor.len < AUDIT_CURSOR_SIZE &&
              encode_base64_decode(ENCODE_BASE64_URL, cursor, bytes, &len) && len > 0 &&
              view_copy((struct view){(const char *)bytes, len}, out, ID_DIGITS_MAX + 1) &&
              strspn(out, "0123456789") == len;
    if (ok) {
        errno = 0;
        ok = strtoll(out, NULL, 10) > 0 && errno == 0;
    }
    return ok || err_set_reason(err, ERR_INVALID, "invalid_cursor",
                                "cursor is not one that this service gave out");
}

bool audit_trail_list(struct pg_pool *pg, const struct auth_list_audit *wanted, int64_t timeout_ms,
                      pg_result_fn *done, void *arg, struct err *err)
{
    char before[NUMBER_SIZE];
    char since[NUMBER_SIZE];
    char until[NUMBER_SIZE];
    char most[NUMBER_SIZE];
    char action[AUDIT_WORD_MAX + 1];
    char target[AUDIT_WORD_MAX + 1];
    if (!cursor_read(wanted->cursor, before, err)) {
        return false;
    }
    if (!view_copy(wanted->action, action, sizeof action) ||
        !view_copy(wanted->target, target, sizeof target)) {
        return err_set(err, ERR_INVALID, "action or target is too long");
    }
    (void)snprintf(since, sizeof since, "%" PRId64, wanted->since_ms);
    (void)snprintf(until, sizeof until, "%" PRId64, wanted->until_ms);
    (void)snprintf(most, sizeof most, "%" PRId64, wanted->limit + 1);
    const struct pg_parameters parameters = {{wanted->user_id, before, action, target, since, until,
                                              most, wanted->is_for_admin ? "true" : "false"},
                                             8};
    const char *statement = wanted->user_id[0] != '\0' ? OF_USER
                            : target[0] != '\0'        ? OF_TARGET
                                                       : OF_ALL;
    return pg_query_begin(pg, statement, &parameters, timeout_ms, done, arg, err) != NULL;
}

enum column {
    COLUMN_ID,
    COLUMN_AT,
    COLUMN_ACTION,
    COLUMN_RESULT,
    COLUMN_ACTOR_USER,
    COLUMN_ACTOR_KEY,
    COLUMN_TARGET_KIND,
    COLUMN_TARGET,
    COLUMN_ADDRESS,
    COLUMN_IMPERSONATOR,
    COLUMN_USER_AGENT,
    COLUMN_REQUEST_ID,
    COLUMN_DETAIL,
};

static void write_target(struct json_writer *writer, const char *kind, const char *id)
{
    if (kind[0] == '\0') {
        json_null(writer, "target");
        return;
    }
    json_begin_object(writer, "target");
    json_string(writer, "kind", view_of(kind));
    json_string_or_null(writer, "id", id);
    json_end_object(writer);
}

static void write_record(struct json_writer *writer, const PGresult *result, int row)
{
    json_begin_object(writer, NULL);
    json_int(writer, "id", pg_int(result, row, COLUMN_ID));
    json_string(writer, "at", view_of(pg_text(result, row, COLUMN_AT)));
    json_string(writer, "action", view_of(pg_text(result, row, COLUMN_ACTION)));
    json_string(writer, "result", view_of(pg_text(result, row, COLUMN_RESULT)));
    json_string_or_null(writer, "actorUserId", pg_text(result, row, COLUMN_ACTOR_USER));
    json_string_or_null(writer, "actorKeyId", pg_text(result, row, COLUMN_ACTOR_KEY));
    write_target(writer, pg_text(result, row, COLUMN_TARGET_KIND),
                 pg_text(result, row, COLUMN_TARGET));
    json_string_or_null(writer, "address", pg_text(result, row, COLUMN_ADDRESS));
    json_string_or_null(writer, "impersonator", pg_text(result, row, COLUMN_IMPERSONATOR));
    json_string_or_null(writer, "userAgent", pg_text(result, row, COLUMN_USER_AGENT));
    json_string_or_null(writer, "requestId", pg_text(result, row, COLUMN_REQUEST_ID));
    json_raw(writer, "detail", view_of(pg_text(result, row, COLUMN_DETAIL)));
    json_end_object(writer);
}

void audit_trail_write(const PGresult *result, int64_t limit, struct str *out,
                       char cursor[AUDIT_CURSOR_SIZE])
{
    int count = pg_rows(result);
    cursor[0] = '\0';
    if (count > limit) {
        count = (int)limit;
        cursor_write(pg_text(result, count - 1, COLUMN_ID), cursor);
    }
    struct json_writer writer = json_writer_on(out);
    json_begin_array(&writer, NULL);
    for (int row = 0; row < count; row++) {
        write_record(&writer, result, row);
    }
    json_end_array(&writer);
}
