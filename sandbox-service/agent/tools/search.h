/* sandbox-service/agent/tools/search.h: what below a folder has a name or holds a text. */
#ifndef SANDBOX_AGENT_TOOLS_SEARCH_H
#define SANDBOX_AGENT_TOOLS_SEARCH_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdio.h>

enum {
    SEARCH_RESULTS_DEFAULT = 1000,
    SEARCH_RESULTS_MAX = 10 * 1000,
    SEARCH_FILE_DEFAULT = 1024 * 1024, /* bytes of a file that is read */
    SEARCH_FILE_MAX = 64 * 1024 * 1024,
    SEARCH_TEXT_MAX = 512, /* bytes of a line that are shown */
};

/* query: {name?, text?, regex?, caseSensitive? (true), maxResults?, maxFileBytes?}; a name or a
 * text is needed. name is a glob on the last component, or on the whole path when it has a '/'.
 *
 * Writes one JSON line a hit: {path}, or with a text, for each line that holds it, {path, line,
 * column, text}: both counted from 1, the column in characters; of a long line, the part around the
 * hit. Then {"done": true, "truncated", "files", "skipped"}: files: looked at; skipped: could not
 * be read or are too large. Binary files hold no text. Errors: "invalid_json", "validation_failed",
 * "invalid_regex", those of walk. */
bool search(const char *folder, struct view query, FILE *out, struct err *err) MUST_CHECK;

#endif
