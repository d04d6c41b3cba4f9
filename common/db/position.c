#include "common/db/position.h"

#include "common/base/encode.h"
#include "common/db/pg.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    TEXT_SIZE = 64,
    MICROSECONDS_DIGITS = 16, /* up to the year 2286 */
};

void position_read(const PGresult *result, int row, int id_column, int created_column,
                   struct position *out)
{
    out->created_us = pg_int(result, row, created_column);
    if (!id_parse(view_of(pg_text(result, row, id_column)), out->id)) {
        out->id[0] = '\0'; /* NULL */
    }
}

void position_write_cursor(const struct position *position, char out[POSITION_CURSOR_SIZE])
{
    char text[TEXT_SIZE];
    int len = snprintf(text, sizeof text, "%" PRId64 ".%s", position->created_us, position->id);
    (void)encode_base64(ENCODE_BASE64_URL, text, (size_t)len, out);
}

bool position_read_cursor(struct view cursor, struct position *out, struct err *err)
{
    uint8_t text[ENCODE_BASE64_DECODED_MAX(POSITION_CURSOR_SIZE) + 1];
    size_t len;
    bool ok = cursor.len < POSITION_CURSOR_SIZE &&
              encode_base64_decode(ENCODE_BASE64_URL, cursor, text, &len);
    const char *dot = ok ? memchr(text, '.', len) : NULL;
    size_t digits = dot == NULL ? 0 : (size_t)(dot - (const char *)text);
    out->created_us = 0;
    for (size_t i = 0; i < digits && digits <= MICROSECONDS_DIGITS; i++) {
        ok = ok && text[i] >= '0' && text[i] <= '9';
        out->created_us = out->created_us * 10 + (text[i] - '0');
    }
    ok = ok && digits > 0 && digits <= MICROSECONDS_DIGITS &&
         id_parse((struct view){dot + 1, len - digits - 1}, out->id);
    return ok || err_set_reason(err, ERR_INVALID, "invalid_cursor",
                                "cursor is not one that this service gave out");
}

bool position_parameters_read(struct view cursor, struct position_parameters *out, struct err *err)
{
    struct position position;
    *out = (struct position_parameters){.id = ""};
    if (cursor.len == 0) {
        return true;
    }
    if (!position_read_cursor(cursor, &position, err)) {
        return false;
    }
    (void)snprintf(out->created_us, sizeof out->created_us, "%" PRId64, position.created_us);
    memcpy(out->id, position.id, sizeof out->id);
    return true;
}
