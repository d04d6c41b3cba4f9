/* common/db/position.h: where a page of rows ends that are read newest first: the cursors of lists.
 * A place among rows, not a count of them: what comes meanwhile neither repeats a row nor hides
 * one. */
#ifndef COMMON_DB_POSITION_H
#define COMMON_DB_POSITION_H

#include "common/base/id.h"

#include <libpq-fe.h>
#include <stdint.h>

enum { POSITION_CURSOR_SIZE = 96 };

/* Of a row: when it was made, and its id. */
struct position {
    int64_t created_us; /* since 1970 */
    char id[ID_SIZE];
};

/* The columns are an id and a number of microseconds. */
void position_read(const PGresult *result, int row, int id_column, int created_column,
                   struct position *out);

/* Opaque to clients: base64url. */
void position_write_cursor(const struct position *position, char out[POSITION_CURSOR_SIZE]);
/* ERR_INVALID "invalid_cursor". */
bool position_read_cursor(struct view cursor, struct position *out, struct err *err) MUST_CHECK;

/* Both as parameters of a statement; "" of each without a position. */
enum { POSITION_NUMBER_SIZE = 24 };
struct position_parameters {
    char created_us[POSITION_NUMBER_SIZE];
    char id[ID_SIZE];
};
/* The same, of a cursor that may be empty. */
bool position_parameters_read(struct view cursor, struct position_parameters *out,
                              struct err *err) MUST_CHECK;

#endif
