/* gateway/native/search_lines.h: the lines that a search prints, as one answer. */
#ifndef GATEWAY_NATIVE_SEARCH_LINES_H
#define GATEWAY_NATIVE_SEARCH_LINES_H

#include "common/base/str.h"

/* One JSON object a line, the last with "done": true. Writes {"results":[...],"truncated"}; it is
 * truncated, too, when the last line is missing. Lines that are no objects are left out. */
void search_lines_write(struct view lines, struct str *out);

#endif
