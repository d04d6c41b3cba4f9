#include "gateway/native/search_lines.h"

#include "common/json/read.h"
#include "common/json/scan.h"

struct last_line {
    bool truncated;
    bool done;
};

static const struct json_field fields[] = {
    JSON_BOOL(struct last_line, truncated, "truncated"),
    JSON_BOOL(struct last_line, done, "done"),
};

static bool is_last(struct view line, bool *truncated)
{
    struct last_line last;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(fields);
    AUTO(json_doc_release) struct json_doc *doc = json_read(line, &schema, &last, NULL, &ignored);
    if (doc == NULL || !last.done) {
        return false;
    }
    *truncated = last.truncated;
    return true;
}

void search_lines_write(struct view lines, struct str *out)
{
    bool truncated = true;
    bool is_first = true;
    str_append_view(out, VIEW("{\"results\":["));
    while (lines.len > 0) {
        struct err ignored = {0};
        struct view line = view_cut(&lines, '\n');
        bool may_be_last = lines.len == 0;
        if (line.len == 0 || line.ptr[0] != '{' || (may_be_last && is_last(line, &truncated)) ||
            !json_scan(line, NULL, NULL, &ignored)) {
            continue;
        }
        if (!is_first) {
            str_append_char(out, ',');
        }
        is_first = false;
        str_append_view(out, line);
    }
    str_append_view(out, VIEW("],\"truncated\":"));
    str_append_view(out, truncated ? VIEW("true}") : VIEW("false}"));
}
