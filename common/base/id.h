/* common/base/id.h: UUIDs (RFC 9562, version 4) in their text forms. */
#ifndef COMMON_BASE_ID_H
#define COMMON_BASE_ID_H

#include "common/base/err.h"
#include "common/base/view.h"

enum {
    ID_SIZE = 37,  /* 8-4-4-4-12 hex digits and the NUL */
    ID32_SIZE = 33 /* the same without dashes */
};

/* A new random id, lower case. */
bool id_new(char out[ID_SIZE], struct err *err) MUST_CHECK;

/* Reads either letter case of the dashed form and nothing else; out is lower case. */
bool id_parse(struct view text, char out[ID_SIZE]) MUST_CHECK;

/* Drops, or puts back, the dashes. */
void id_to_id32(const char id[ID_SIZE], char out[ID32_SIZE]);
bool id_from_id32(struct view text, char out[ID_SIZE]) MUST_CHECK;

#endif
