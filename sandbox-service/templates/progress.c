#include "sandbox-service/templates/progress.h"

#include "common/base/utf8.h"
#include "common/json/read.h"

#include <stdarg.h>
#include <stdio.h>

enum { SAY_MAX = 512, LOG_SLACK = 16 * 1024 };

struct detail {
    int64_t current;
    int64_t total;
};
struct said {
    struct view stream;
    struct view status;
    struct view id;
    struct view error;
    struct detail detail;
    bool has_detail;
};

static const struct json_field detail_fields[] = {
    JSON_INT(struct detail, current, "current"),
    JSON_INT(struct detail, total, "total"),
};
static const struct json_field said_fields[] = {
    JSON_STRING(struct said, stream, "stream"),
    JSON_STRING(struct said, status, "status"),
    JSON_STRING(struct said, id, "id"),
    JSON_STRING(struct said, error, "error"),
    JSON_STRUCT(struct said, detail, "progressDetail", detail_fields,
                JSON_PRESENT(struct said, has_detail), .nullable = true),
};

void progress_open(struct progress *progress)
{
    *progress = (struct progress){
        .line = STR_INIT(PROGRESS_LINE_MAX),
        .log = STR_INIT(PROGRESS_LOG_KEPT + LOG_SLACK + PROGRESS_LINE_MAX),
    };
}

void progress_close(struct progress *progress)
{
    str_free(&progress->line);
    str_free(&progress->log);
}

/* Drops whole characters from the front. What does not fit any more is lost with the rest. */
static void shorten(struct progress *progress)
{
    struct str *log = &progress->log;
    if (log->failed) {
        progress->dropped += log->len;
        str_free(log);
        *log = STR_INIT(log->ceiling);
        return;
    }
    if (log->len <= PROGRESS_LOG_KEPT + LOG_SLACK) {
        return;
    }
    size_t cut = log->len - PROGRESS_LOG_KEPT;
    while (cut < log->len && ((unsigned char)log->data[cut] & 0xC0U) == 0x80U) {
        cut++;
    }
    memmove(log->data, log->data + cut, log->len - cut + 1);
    log->len -= cut;
    progress->dropped += cut;
}

static void add_to_log(struct progress *progress, struct view text)
{
    str_append_view(&progress->log, text);
    shorten(progress);
}

/* Cut, if at all, behind a whole character. */
void progress_say(struct progress *progress, const char *format, ...)
{
    char line[SAY_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    add_to_log(progress, (struct view){line, utf8_prefix(view_of(line), NULL)});
    add_to_log(progress, VIEW("\n"));
}

static void note_error(struct progress *progress, struct view error)
{
    if (progress->error[0] == '\0') {
        (void)snprintf(
            progress->error, sizeof progress->error, "%.*s",
            (int)(error.len < sizeof progress->error ? error.len : sizeof progress->error - 1),
            error.ptr);
    }
    add_to_log(progress, error);
    add_to_log(progress, VIEW("\n"));
}

static struct progress_layer *find_layer(struct progress *progress, struct view id)
{
    for (size_t i = 0; i < progress->layer_count; i++) {
        if (view_equal(view_of(progress->layers[i].id), id)) {
            return &progress->layers[i];
        }
    }
    if (progress->layer_count == PROGRESS_LAYERS_MAX ||
        !view_copy(id, progress->layers[progress->layer_count].id, PROGRESS_LAYER_ID_SIZE)) {
        return NULL;
    }
    return &progress->layers[progress->layer_count++];
}

/* "Downloading" comes many times a second: numbers, no lines. */
static void note_status(struct progress *progress, const struct said *said)
{
    bool downloads = view_equal(said->status, VIEW("Downloading"));
    if (downloads && said->has_detail && said->id.len > 0) {
        struct progress_layer *layer = find_layer(progress, said->id);
        if (layer != NULL && said->detail.total > 0) {
            layer->current = said->detail.current;
            layer->total = said->detail.total;
        }
    }
    if (view_equal(said->status, VIEW("Download complete")) && said->id.len > 0) {
        struct progress_layer *layer = find_layer(progress, said->id);
        if (layer != NULL) {
            layer->current = layer->total;
        }
    }
    if (downloads || view_equal(said->status, VIEW("Extracting"))) {
        return;
    }
    if (said->id.len > 0) {
        add_to_log(progress, said->id);
        add_to_log(progress, VIEW(": "));
    }
    add_to_log(progress, said->status);
    add_to_log(progress, VIEW("\n"));
}

static void take_line(struct progress *progress, struct view line)
{
    struct said said;
    struct err err = {0};
    const struct json_schema schema = JSON_SCHEMA(said_fields);
    if (line.len == 0 || (line.len == 1 && line.ptr[0] == '\r')) {
        return;
    }
    AUTO(json_doc_release) struct json_doc *doc = json_read(line, &schema, &said, NULL, &err);
    if (doc == NULL) {
        return; /* nothing that we know: the engine's own end tells what came of it */
    }
    if (said.error.len > 0) {
        note_error(progress, said.error);
    } else if (said.stream.len > 0) {
        add_to_log(progress, said.stream);
    } else if (said.status.len > 0) {
        note_status(progress, &said);
    }
}

static void end_line(struct progress *progress)
{
    if (!progress->skipping && !progress->line.failed) {
        take_line(progress, str_view(&progress->line));
    }
    progress->skipping = false;
    str_clear(&progress->line);
}

void progress_take(struct progress *progress, struct view bytes)
{
    const char *newline;
    while (bytes.len > 0 && (newline = memchr(bytes.ptr, '\n', bytes.len)) != NULL) {
        size_t len = (size_t)(newline - bytes.ptr);
        str_append(&progress->line, bytes.ptr, len);
        end_line(progress);
        bytes = view_from(bytes, len + 1);
    }
    str_append_view(&progress->line, bytes);
    if (progress->line.failed) {
        progress->skipping = true;
        str_free(&progress->line);
        progress->line = STR_INIT(PROGRESS_LINE_MAX);
    }
}

uint64_t progress_log_end(const struct progress *progress)
{
    return progress->dropped + progress->log.len;
}

struct view progress_log(const struct progress *progress, uint64_t *from)
{
    uint64_t end = progress_log_end(progress);
    if (*from < progress->dropped) {
        *from = progress->dropped;
    }
    if (*from > end) {
        *from = end;
    }
    if (*from == end) {
        return (struct view){0};
    }
    return view_from(str_view(&progress->log), (size_t)(*from - progress->dropped));
}

void progress_bytes(const struct progress *progress, int64_t *current, int64_t *total)
{
    *current = 0;
    *total = 0;
    for (size_t i = 0; i < progress->layer_count; i++) {
        *current += progress->layers[i].current;
        *total += progress->layers[i].total;
    }
}
