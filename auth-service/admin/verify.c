#include "auth-service/admin/verify.h"

#include "auth-service/admin/store.h"
#include "common/base/secret.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_SIZE = 24 };

bool audit_anchor_parse(struct view text, struct audit_anchor *out, struct err *err)
{
    char digits[NUMBER_SIZE];
    char *rest;
    struct view seq = view_cut(&text, ':');
    bool ok = view_copy(seq, digits, sizeof digits) && strspn(digits, "0123456789") == seq.len &&
              seq.len > 0 && seq.len < NUMBER_SIZE - 5 &&
              encode_hex_decode(text, out->hash, sizeof out->hash);
    out->seq = ok ? strtoll(digits, &rest, 10) : 0;
    return out->seq > 0 || err_set(err, ERR_INVALID,
                                   "an anchor is a seal's number and hash, such as the log's "
                                   "audit.anchor has them: SEQ:HASH");
}

/* Finding one is an answer: the walk ends, but nothing failed. Returns false. */
PRINTF_LIKE(2, 3)
static bool found(struct audit_verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(verdict->first_break, sizeof verdict->first_break, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_broken(const struct audit_verdict *verdict)
{
    return verdict->first_break[0] != '\0';
}

static int64_t number_at(const PGresult *page, int row, int column)
{
    return strtoll(PQgetvalue(page, row, column), NULL, 10);
}

static bool hex_equals(const PGresult *page, int row, int column, const uint8_t *expected)
{
    uint8_t bytes[AUDIT_HASH_BYTES];
    return encode_hex_decode(view_of(PQgetvalue(page, row, column)), bytes, sizeof bytes) &&
           secret_equal(bytes, expected, sizeof bytes);
}

/* False with a break, or with err, when the personal part is there and not what it was. */
static bool check_personal(const PGresult *page, int row, struct audit_verdict *verdict,
                           struct err *err)
{
    uint8_t salt[AUDIT_SALT_BYTES];
    uint8_t digest[AUDIT_HASH_BYTES];
    const struct audit_personal personal = {
        .address = PQgetvalue(page, row, AUDIT_PAGE_ADDRESS),
        .impersonator = PQgetvalue(page, row, AUDIT_PAGE_IMPERSONATOR),
        .user_agent = PQgetvalue(page, row, AUDIT_PAGE_USER_AGENT)};
    if (PQgetisnull(page, row, AUDIT_PAGE_PERSONAL_ID) != 0) {
        verdict->erased++;
        return true;
    }
    if (!encode_hex_decode(view_of(PQgetvalue(page, row, AUDIT_PAGE_SALT)), salt, sizeof salt)) {
        return err_set(err, ERR_INTERNAL, "a salt could not be read");
    }
    if (!audit_personal_digest(salt, &personal, digest, err)) {
        return false;
    }
    return hex_equals(page, row, AUDIT_PAGE_ROW_DIGEST, digest) ||
           found(verdict, "the personal part of row %" PRId64 " was changed",
                 number_at(page, row, AUDIT_PAGE_AUDIT_ID));
}

static bool check_row(const PGresult *page, int row, struct audit_verdict *verdict, struct err *err)
{
    int64_t seq = number_at(page, row, AUDIT_PAGE_SEQ);
    int64_t id = number_at(page, row, AUDIT_PAGE_AUDIT_ID);
    uint8_t hash[AUDIT_HASH_BYTES];
    if (seq != verdict->last_seq + 1) {
        return found(verdict, "seal %" PRId64 " is missing", verdict->last_seq + 1);
    }
    if (PQgetisnull(page, row, AUDIT_PAGE_ROW) != 0) {
        return found(verdict, "row %" PRId64 " was deleted", id);
    }
    if (id <= verdict->last_id) {
        return found(verdict, "row %" PRId64 " is sealed out of its order", id);
    }
    if (!audit_chain_next(verdict->last_hash, page, row, AUDIT_PAGE_ROW, hash, err)) {
        return false;
    }
    if (!hex_equals(page, row, AUDIT_PAGE_HASH, hash)) {
        return found(verdict, "row %" PRId64 " is not what was sealed, or its seal was changed",
                     id);
    }
    if (!check_personal(page, row, verdict, err)) {
        return false;
    }
    verdict->last_seq = seq;
    verdict->last_id = id;
    memcpy(verdict->last_hash, hash, sizeof hash);
    return true;
}

static bool check_anchor(const struct audit_anchor *anchor, struct audit_verdict *verdict)
{
    return anchor == NULL || verdict->last_seq != anchor->seq ||
           secret_equal(verdict->last_hash, anchor->hash, sizeof anchor->hash) ||
           found(verdict, "seal %" PRId64 " is not that of the anchor: the chain was made anew",
                 anchor->seq);
}

/* False at a break and after a failure. *rows: how many there were. */
static bool check_page(PGconn *pg, const struct audit_anchor *anchor, int *rows,
                       struct audit_verdict *verdict, struct err *err)
{
    PGresult *page = audit_read_page(pg, verdict->last_seq, err);
    bool ok = page != NULL;
    *rows = ok ? PQntuples(page) : 0;
    for (int row = 0; ok && row < *rows; row++) {
        ok = check_row(page, row, verdict, err) && check_anchor(anchor, verdict);
    }
    PQclear(page);
    return ok;
}

/* What the chain does not reach. */
static bool check_rest(PGconn *pg, const struct audit_anchor *anchor, struct audit_verdict *verdict,
                       struct err *err)
{
    if (anchor != NULL && anchor->seq > verdict->last_seq) {
        return found(verdict,
                     "the chain ends before the anchor: seal %" PRId64 " and what follows it were "
                     "taken away",
                     verdict->last_seq + 1);
    }
    PGresult *put_in = audit_read_put_in(pg, verdict->last_id, err);
    PGresult *unsealed = put_in == NULL ? NULL : audit_read_unsealed(pg, verdict->last_id, err);
    bool ok = unsealed != NULL;
    if (ok && PQntuples(put_in) > 0) {
        ok = found(verdict, "row %" PRId64 " was put in later", number_at(put_in, 0, 0));
    }
    verdict->unsealed = unsealed == NULL ? 0 : number_at(unsealed, 0, 0);
    PQclear(put_in);
    PQclear(unsealed);
    return ok;
}

static bool walk(PGconn *pg, const struct audit_anchor *anchor, struct audit_verdict *verdict,
                 struct err *err)
{
    int rows;
    do {
        if (!check_page(pg, anchor, &rows, verdict, err)) {
            return false;
        }
    } while (rows > 0);
    return check_rest(pg, anchor, verdict, err);
}

bool audit_verify(PGconn *pg, const struct audit_anchor *anchor, struct audit_verdict *out,
                  struct err *err)
{
    *out = (struct audit_verdict){0};
    memcpy(out->last_hash, audit_chain_start, sizeof out->last_hash);
    if (!audit_snapshot_begin(pg, err)) {
        return false;
    }
    bool ok = walk(pg, anchor, out, err) || is_broken(out);
    audit_snapshot_end(pg);
    return ok;
}
