#include "sandbox-service/agent/tools/search.h"

#include "common/base/utf8.h"
#include "common/json/read.h"
#include "common/json/write.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/tools/matcher.h"
#include "sandbox-service/agent/tools/walk.h"

#include <errno.h>
#include <fnmatch.h>

enum {
    GLOB_MAX = 1024,
    LINE_MAX_BYTES = 512 * 1024, /* of the output: a path of which each byte is escaped, and more */
    BINARY_LOOKED_AT = 8 * 1024,
    TEXT_BEFORE_HIT = 128, /* bytes, of a long line */
};

struct query {
    struct view name;
    struct view text;
    bool regex;
    bool case_sensitive;
    int64_t max_results;
    int64_t max_file_bytes;
};

static const struct json_field query_fields[] = {
    JSON_STRING(struct query, name, "name", .not_empty = true, .max_len = GLOB_MAX),
    JSON_STRING(struct query, text, "text", .not_empty = true, .max_len = MATCHER_PATTERN_MAX),
    JSON_BOOL(struct query, regex, "regex"),
    JSON_BOOL(struct query, case_sensitive, "caseSensitive", .fallback = true),
    JSON_INT(struct query, max_results, "maxResults", .min = 1, .max = SEARCH_RESULTS_MAX,
             .fallback = SEARCH_RESULTS_DEFAULT),
    JSON_INT(struct query, max_file_bytes, "maxFileBytes", .min = 1, .max = SEARCH_FILE_MAX,
             .fallback = SEARCH_FILE_DEFAULT),
};

struct searching {
    struct query query;
    char glob[GLOB_MAX + 1]; /* "": every name */
    int glob_flags;
    struct matcher matcher; /* when query.text is not empty */
    FILE *out;              /* borrowed */
    struct str line;        /* of the output */
    struct str content;     /* of the file at hand */
    int64_t hits;
    int64_t files;
    int64_t skipped;
    bool truncated;
};

/* Where in a file the hit is. */
struct hit {
    const char *path;
    struct view line;
    struct view match; /* part of line */
    int64_t number;
};

static bool write_line(struct searching *searching, struct err *err)
{
    str_append_char(&searching->line, '\n');
    if (!str_check(&searching->line, "a line of the answer", err)) {
        return false;
    }
    return fwrite(searching->line.data, 1, searching->line.len, searching->out) ==
               searching->line.len ||
           open_failed(err, errno, "while writing the answer");
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static int64_t column_of(const struct hit *hit)
{
    int64_t column = 1;
    for (const char *c = hit->line.ptr; c < hit->match.ptr; c++) {
        column += is_continuation(*c) ? 0 : 1;
    }
    return column;
}

/* Whole characters around the hit. */
static struct view shown_part(const struct hit *hit)
{
    struct view part = hit->line;
    size_t before = (size_t)(hit->match.ptr - hit->line.ptr);
    if (part.len > SEARCH_TEXT_MAX && before > SEARCH_TEXT_MAX - TEXT_BEFORE_HIT) {
        part = view_from(part, before - TEXT_BEFORE_HIT);
        while (part.len > 0 && is_continuation(part.ptr[0]) && part.ptr < hit->match.ptr) {
            part = view_from(part, 1);
        }
    }
    if (part.len > SEARCH_TEXT_MAX) {
        part.len = SEARCH_TEXT_MAX;
        while (part.len > 0 && is_continuation(part.ptr[part.len])) {
            part.len--;
        }
    }
    return part;
}

/* False also when there are enough of them: then truncated is set, and err is not. */
static bool tell(struct searching *searching, const struct hit *hit, struct err *err)
{
    if (searching->hits == searching->query.max_results) {
        searching->truncated = true;
        return false;
    }
    searching->hits++;
    str_clear(&searching->line);
    struct json_writer writer = json_writer_on(&searching->line);
    json_begin_object(&writer, NULL);
    json_string(&writer, "path", view_of(hit->path));
    if (hit->number > 0) {
        json_int(&writer, "line", hit->number);
        json_int(&writer, "column", column_of(hit));
        json_string(&writer, "text", shown_part(hit));
    }
    json_end_object(&writer);
    return write_line(searching, err);
}

static bool tell_matches(struct searching *searching, const char *path, struct err *err)
{
    struct view rest = str_view(&searching->content);
    struct hit hit = {.path = path};
    while (rest.len > 0) {
        hit.line = view_cut(&rest, '\n');
        hit.number++;
        if (hit.line.len > 0 && hit.line.ptr[hit.line.len - 1] == '\r') {
            hit.line.len--;
        }
        if (matcher_find(&searching->matcher, hit.line, &hit.match) &&
            !tell(searching, &hit, err)) {
            return false;
        }
    }
    return true;
}

static bool is_binary(const struct str *content)
{
    size_t len = content->len < BINARY_LOOKED_AT ? content->len : BINARY_LOOKED_AT;
    return len > 0 && memchr(content->data, '\0', len) != NULL;
}

static bool read_content(struct searching *searching, const struct walk_entry *entry)
{
    struct stat status;
    struct err ignored; /* A file that can't be read is one to skip, whatever the reason. */
    AUTO(close_fd) int fd = open_at(entry->folder, entry->name, O_RDONLY | O_NOFOLLOW, 0);
    str_clear(&searching->content);
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_size <= searching->query.max_file_bytes &&
           open_read_all(fd, &searching->content, &ignored);
}

static bool name_matches(const struct searching *searching, const struct walk_entry *entry)
{
    bool of_path = (searching->glob_flags & FNM_PATHNAME) != 0;
    return searching->glob[0] == '\0' ||
           fnmatch(searching->glob, of_path ? entry->path : entry->name, searching->glob_flags) ==
               0;
}

static bool on_entry(const struct walk_entry *entry, void *arg, struct err *err)
{
    struct searching *searching = arg;
    bool is_file = S_ISREG(entry->status.st_mode);
    searching->files += is_file ? 1 : 0;
    if (!name_matches(searching, entry)) {
        return true;
    }
    if (searching->query.text.len == 0) {
        return tell(searching, &(struct hit){.path = entry->path}, err);
    }
    if (!is_file) {
        return true;
    }
    if (!read_content(searching, entry)) {
        searching->skipped++;
        return true;
    }
    return is_binary(&searching->content) || tell_matches(searching, entry->path, err);
}

static bool on_unreadable(const char *path, void *arg, struct err *err)
{
    struct searching *searching = arg;
    (void)path;
    *err = (struct err){0};
    searching->skipped++;
    return true;
}

static bool prepare(struct searching *searching, struct err *err)
{
    const struct query *query = &searching->query;
    if (query->name.len == 0 && query->text.len == 0) {
        return err_set_reason(err, ERR_INVALID, "validation_failed",
                              "a name or a text to search for is needed");
    }
    if (!view_copy(query->name, searching->glob, sizeof searching->glob)) {
        return err_set_reason(err, ERR_INVALID, "validation_failed", "name has more than %d bytes",
                              GLOB_MAX);
    }
    searching->glob_flags = (query->case_sensitive ? 0 : FNM_CASEFOLD) |
                            (strchr(searching->glob, '/') == NULL ? 0 : FNM_PATHNAME);
    searching->line = STR_INIT(LINE_MAX_BYTES);
    searching->content = STR_INIT((size_t)query->max_file_bytes);
    return query->text.len == 0 || matcher_init(&searching->matcher, query->text, query->regex,
                                                !query->case_sensitive, err);
}

static bool tell_end(struct searching *searching, struct err *err)
{
    str_clear(&searching->line);
    struct json_writer writer = json_writer_on(&searching->line);
    json_begin_object(&writer, NULL);
    json_bool(&writer, "done", true);
    json_bool(&writer, "truncated", searching->truncated);
    json_int(&writer, "files", searching->files);
    json_int(&writer, "skipped", searching->skipped);
    json_end_object(&writer);
    return write_line(searching, err) &&
           (fflush(searching->out) == 0 || open_failed(err, errno, "while writing the answer"));
}

static bool run(struct searching *searching, const char *folder, struct err *err)
{
    static const struct walk_events events = {on_entry, on_unreadable};
    if (!walk(folder, &events, searching, err) && !searching->truncated) {
        return false;
    }
    return tell_end(searching, err);
}

bool search(const char *folder, struct view query, FILE *out, struct err *err)
{
    struct searching searching = {.out = out};
    struct json_schema schema = JSON_SCHEMA(query_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(query, &schema, &searching.query, NULL, err);
    if (doc == NULL || !prepare(&searching, err)) {
        return false;
    }
    bool succeeded = run(&searching, folder, err);
    if (searching.query.text.len > 0) {
        matcher_free(&searching.matcher);
    }
    str_free(&searching.content);
    str_free(&searching.line);
    return succeeded;
}
