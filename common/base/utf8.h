/* common/base/utf8.h: UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF.
 */
#ifndef COMMON_BASE_UTF8_H
#define COMMON_BASE_UTF8_H

#include "common/base/view.h"

/* Bytes of the well-formed character that text begins with; 0 when it begins with none. On 0,
 * *skip (may be NULL) is how many bytes one U+FFFD stands for (the maximal subpart, Unicode 3.9).
 */
size_t utf8_length(struct view text, size_t *skip);

bool utf8_is_valid(struct view text);

/* Bytes of the whole characters that text begins with. *is_cut (may be NULL) tells whether what
 * follows them is the beginning of a character whose end may still come; false when nothing
 * follows.
 */
size_t utf8_prefix(struct view text, bool *is_cut);

#endif
