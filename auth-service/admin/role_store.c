#include "auth-service/admin/role_store.h"

#include "common/audit/store.h"

#include <stdio.h>

enum { COLUMN_ID, COLUMN_EMAIL, COLUMN_ROLE, COLUMN_IDENTITIES };
enum { NAMED_MAX = 4 }; /* users of one address that a message has room for */

static const char begin_sql[] = "BEGIN";
static const char commit_sql[] = "COMMIT";
static const char rollback_sql[] = "ROLLBACK";
static const char find_sql[] =
    "SELECT u.id, u.email, u.role, (SELECT string_agg(i.issuer || ' ' || i.subject, ', '"
    " ORDER BY i.created_at) FROM identities i WHERE i.user_id = u.id)"
    " FROM users u WHERE u.deleted_at IS NULL"
    " AND (u.id::text = lower($1::text) OR lower(u.email) = lower($1::text))"
    " ORDER BY u.created_at LIMIT 5 FOR NO KEY UPDATE OF u";
static const char set_sql[] =
    "UPDATE users SET role = $2::text, updated_at = now() WHERE id = $1::uuid";

static void clear_result(PGresult **result)
{
    PQclear(*result);
}

static PGresult *ask(PGconn *pg, const char *sql, const char *const *values, int count,
                     ExecStatusType expected, struct err *err)
{
    PGresult *result = PQexecParams(pg, sql, count, NULL, values, NULL, NULL, 0);
    if (PQresultStatus(result) == expected) {
        return result;
    }
    const char *message = PQerrorMessage(pg);
    err_set(err, ERR_UNAVAILABLE, "%.*s", (int)strcspn(message, "\n"), message);
    PQclear(result);
    return NULL;
}

static bool run(PGconn *pg, const char *sql, const char *const *values, int count, struct err *err)
{
    AUTO(clear_result) PGresult *result = ask(pg, sql, values, count, PGRES_COMMAND_OK, err);
    return result != NULL;
}

/* An address proves nothing, and several people may have the same. */
static bool refuse_several(const PGresult *found, const char *who, struct err *err)
{
    char ids[NAMED_MAX * ID_SIZE] = "";
    size_t length = 0;
    for (int row = 0; row < PQntuples(found) && row < NAMED_MAX; row++) {
        int added = snprintf(ids + length, sizeof ids - length, "%s%s", row == 0 ? "" : " ",
                             PQgetvalue(found, row, COLUMN_ID));
        length += added > 0 ? (size_t)added : 0;
    }
    return err_set(err, ERR_CONFLICT, "several users have the address %.60s; name one: %s", who,
                   ids);
}

static bool find(PGconn *pg, const char *who, struct role_outcome *out, char *role,
                 size_t role_size, struct err *err)
{
    AUTO(clear_result) PGresult *found = ask(pg, find_sql, &who, 1, PGRES_TUPLES_OK, err);
    if (found == NULL) {
        return false;
    }
    if (PQntuples(found) == 0) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no user %.80s: who has not signed in yet may be made by a key "
                       "(deploy/key)",
                       who);
    }
    if (PQntuples(found) > 1) {
        return refuse_several(found, who, err);
    }
    (void)snprintf(out->user_id, sizeof out->user_id, "%s", PQgetvalue(found, 0, COLUMN_ID));
    (void)snprintf(out->email, sizeof out->email, "%s", PQgetvalue(found, 0, COLUMN_EMAIL));
    (void)snprintf(out->identities, sizeof out->identities, "%s",
                   PQgetvalue(found, 0, COLUMN_IDENTITIES));
    (void)snprintf(role, role_size, "%s", PQgetvalue(found, 0, COLUMN_ROLE));
    return true;
}

/* Nobody is named as the one who did it: it was the operator of this machine. */
static bool change(PGconn *pg, const char *role, const struct role_outcome *out, struct err *err)
{
    const char *const values[] = {out->user_id, role};
    struct audit_record record = {.action = AUDIT_USER_ROLE_SET, .result = AUDIT_OK};
    audit_text_set(record.target_kind, sizeof record.target_kind, VIEW("user"));
    audit_text_set(record.target, sizeof record.target, view_of(out->user_id));
    audit_record_set_detail(&record, "role", view_of(role));
    return run(pg, set_sql, values, 2, err) && audit_store_with(pg, "insien-admin", &record, err);
}

static bool find_and_change(PGconn *pg, const char *who, const char *role, struct role_outcome *out,
                            struct err *err)
{
    enum { ROLE_SIZE = 16 };
    char held[ROLE_SIZE];
    if (!find(pg, who, out, held, sizeof held, err)) {
        return false;
    }
    out->changed = strcmp(held, role) != 0;
    return !out->changed || change(pg, role, out, err);
}

bool role_set(PGconn *pg, const char *who, const char *role, struct role_outcome *out,
              struct err *err)
{
    struct err ignored;
    *out = (struct role_outcome){0};
    if (!run(pg, begin_sql, NULL, 0, err)) {
        return false;
    }
    if (find_and_change(pg, who, role, out, err) && run(pg, commit_sql, NULL, 0, err)) {
        return true;
    }
    (void)run(pg, rollback_sql, NULL, 0, &ignored);
    return false;
}
