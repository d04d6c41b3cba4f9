/* sandbox-service/templates/progress.h: what the engine says while it pulls or builds (one JSON
 * object a line), as a log for people and numbers for programs. */
#ifndef SANDBOX_TEMPLATES_PROGRESS_H
#define SANDBOX_TEMPLATES_PROGRESS_H

#include "common/base/str.h"

#include <stdint.h>

enum {
    PROGRESS_LINE_MAX = 64 * 1024, /* a longer line is skipped */
    PROGRESS_LOG_KEPT = 64 * 1024, /* bytes of the log that are kept: the last ones */
    PROGRESS_LAYERS_MAX = 128,
    PROGRESS_LAYER_ID_SIZE = 24,
    PROGRESS_ERROR_SIZE = 200,
};

struct progress_layer {
    char id[PROGRESS_LAYER_ID_SIZE];
    int64_t current; /* bytes */
    int64_t total;
};

/* Begin with progress_open. */
struct progress {
    struct str line;  /* the one that is not whole yet */
    bool skipping;    /* it is too long */
    struct str log;   /* the end of it */
    uint64_t dropped; /* bytes of the log before that */
    struct progress_layer layers[PROGRESS_LAYERS_MAX];
    size_t layer_count;
    char error[PROGRESS_ERROR_SIZE]; /* the first that the engine told; "": none */
};

void progress_open(struct progress *progress);
void progress_close(struct progress *progress);

/* Bytes as they come. */
void progress_take(struct progress *progress, struct view bytes);
/* A line of ours into the log. */
void progress_say(struct progress *progress, const char *format, ...) PRINTF_LIKE(2, 3);

/* The log from a place on (bytes from its beginning); *from becomes later where that is no longer
 * kept, or the end where it has not been reached. Valid until more comes. */
struct view progress_log(const struct progress *progress, uint64_t *from);
uint64_t progress_log_end(const struct progress *progress);
/* Of all layers together; total 0: not known. */
void progress_bytes(const struct progress *progress, int64_t *current, int64_t *total);

#endif
