#include "sandbox-service/sandbox/listing.h"

#include "common/base/encode.h"
#include "common/json/write.h"
#include "sandbox-service/sandbox/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    POSITION_SIZE = 64,
    MICROSECONDS_DIGITS = 16,    /* up to the year 2286 */
    ITEMS_MAX = 3 * 1024 * 1024, /* below what one IPC message may carry */
};

void cursor_write(const struct store_position *position, char out[CURSOR_SIZE])
{
    char text[POSITION_SIZE];
    int len = snprintf(text, sizeof text, "%" PRId64 ".%s", position->created_us, position->id);
    (void)encode_base64(ENCODE_BASE64_URL, text, (size_t)len, out);
}

bool cursor_read(struct view cursor, struct store_position *out, struct err *err)
{
    uint8_t text[ENCODE_BASE64_DECODED_MAX(CURSOR_SIZE) + 1];
    size_t len;
    bool ok =
        cursor.len < CURSOR_SIZE && encode_base64_decode(ENCODE_BASE64_URL, cursor, text, &len);
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

static void put_time(struct json_writer *json, const char *name, struct view time)
{
    if (time.len == 0) {
        json_null(json, name);
    } else {
        json_string(json, name, time);
    }
}

static void put_item(struct json_writer *json, const struct sandbox_info *info)
{
    json_begin_object(json, NULL);
    json_string(json, "sandboxId", view_of(info->sandbox_id));
    json_string(json, "template", info->template_name);
    json_string(json, "status", info->status);
    json_string(json, "tier", info->tier);
    json_string(json, "network", info->network);
    json_string(json, "createdAt", info->created_at);
    json_string(json, "expiresAt", info->expires_at);
    put_time(json, "endedAt", info->ended_at);
    put_time(json, "endReason", info->end_reason);
    json_raw(json, "metadata", info->metadata);
    json_begin_object(json, "resourceLimits");
    json_int(json, "memoryMB", info->memory_mb);
    json_int(json, "cpuShares", tier_cpu_shares(info->cpu_milli));
    json_int(json, "lifetimeHours", info->lifetime_hours);
    json_end_object(json);
    json_end_object(json);
}

static bool write_items(const PGresult *result, int count, struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (int row = 0; row < count; row++) {
        struct sandbox_info info;
        store_read_info(result, row, &info);
        put_item(&json, &info);
    }
    json_end_array(&json);
    return str_check(out, "the list", err);
}

bool listing_write(const PGresult *result, int64_t limit, struct str *out, struct err *err)
{
    char cursor[CURSOR_SIZE] = "";
    struct store_position last;
    struct str items = STR_INIT(ITEMS_MAX);
    int count = pg_rows(result);
    if (count > limit) {
        count = (int)limit;
        store_read_position(result, count - 1, &last);
        cursor_write(&last, cursor);
    }
    bool ok = write_items(result, count, &items, err);
    const struct sandbox_page page = {.sandboxes = str_view(&items),
                                      .next_cursor = view_of(cursor)};
    if (ok) {
        struct json_writer json = json_writer_on(out);
        json_begin_object(&json, NULL);
        json_struct(&json, &sandbox_page_schema, &page);
        json_end_object(&json);
        ok = str_check(out, "the list", err);
    }
    str_free(&items);
    return ok;
}
