#include "sandbox-service/sandbox/listing.h"

#include "common/contracts/admin.h"
#include "common/contracts/quota.h"
#include "common/json/write.h"

enum {
    ITEMS_MAX = 3 * 1024 * 1024, /* below what one IPC message may carry */
};

static void put_time(struct json_writer *json, const char *name, struct view time)
{
    if (time.len == 0) {
        json_null(json, name);
    } else {
        json_string(json, name, time);
    }
}

static void put_limits(struct json_writer *json, const struct sandbox_info *info)
{
    const struct resource_limits limits = {.memory_mb = info->memory_mb,
                                           .cpu_milli = info->cpu_milli,
                                           .pids = info->pids,
                                           .disk_mb = info->disk_mb,
                                           .lifetime_hours = info->lifetime_hours};
    resource_limits_write(json, "resourceLimits", &limits);
}

static void put_item(struct json_writer *json, const struct sandbox_info *info,
                     enum listing_reader reader)
{
    json_begin_object(json, NULL);
    json_string(json, "sandboxId", view_of(info->sandbox_id));
    if (reader == LISTING_FOR_ADMIN) {
        json_string(json, "userId", view_of(info->user_id));
        json_string_or_null(json, "apiKeyId", info->api_key_id);
    }
    json_string(json, "template", info->template_name);
    json_string(json, "status", info->status);
    json_string(json, "tier", info->tier);
    json_string(json, "network", info->network);
    json_string(json, "createdAt", info->created_at);
    put_time(json, "expiresAt", info->expires_at);
    put_time(json, "endedAt", info->ended_at);
    put_time(json, "endReason", info->end_reason);
    json_raw(json, "metadata", info->metadata);
    put_limits(json, info);
    json_end_object(json);
}

static bool write_items(const PGresult *result, int count, enum listing_reader reader,
                        struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (int row = 0; row < count; row++) {
        struct sandbox_info info;
        store_read_info(result, row, &info);
        put_item(&json, &info, reader);
    }
    json_end_array(&json);
    return str_check(out, "the list", err);
}

static void write_page(enum listing_reader reader, struct view items, struct view cursor,
                       struct str *out)
{
    const struct sandbox_page own = {.sandboxes = items, .next_cursor = cursor};
    const struct admin_page any = {.items = items, .next_cursor = cursor};
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    if (reader == LISTING_FOR_ADMIN) {
        json_struct(&json, &admin_page_schema, &any);
    } else {
        json_struct(&json, &sandbox_page_schema, &own);
    }
    json_end_object(&json);
}

bool listing_write(const PGresult *result, int64_t limit, enum listing_reader reader,
                   struct str *out, struct err *err)
{
    char cursor[POSITION_CURSOR_SIZE] = "";
    struct position last;
    struct str items = STR_INIT(ITEMS_MAX);
    int count = pg_rows(result);
    if (count > limit) {
        count = (int)limit;
        store_read_position(result, count - 1, &last);
        position_write_cursor(&last, cursor);
    }
    bool ok = write_items(result, count, reader, &items, err);
    if (ok) {
        write_page(reader, str_view(&items), view_of(cursor), out);
        ok = str_check(out, "the list", err);
    }
    str_free(&items);
    return ok;
}
