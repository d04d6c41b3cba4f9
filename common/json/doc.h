/* common/json/doc.h: what a read document owns; for this folder. */
#ifndef COMMON_JSON_DOC_H
#define COMMON_JSON_DOC_H

#include "common/json/read.h"

struct json_doc *json_doc_new(void);

/* len zeroed bytes that live as long as the document, aligned for anything; NULL when out of
 * memory. */
void *json_doc_alloc(struct json_doc *doc, size_t len);
bool json_doc_copy(struct json_doc *doc, struct view text, struct view *out) MUST_CHECK;

/* Values of valid JSON text, in memory of the document. The counts are those of the text; the
 * items of the array, the values of the object must all be strings. False when out of memory. */
bool json_doc_string(struct json_doc *doc, struct view text, struct view *out) MUST_CHECK;
bool json_doc_strings(struct json_doc *doc, struct view text, size_t count,
                      struct json_strings *out) MUST_CHECK;
bool json_doc_pairs(struct json_doc *doc, struct view text, size_t count,
                    struct json_pairs *out) MUST_CHECK;

#endif
