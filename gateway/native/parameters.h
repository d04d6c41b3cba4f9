/* gateway/native/parameters.h: the parameters of a query, with every mistake collected. */
#ifndef GATEWAY_NATIVE_PARAMETERS_H
#define GATEWAY_NATIVE_PARAMETERS_H

#include "common/base/id.h"
#include "common/json/read.h"

struct parameters {
    struct view query; /* borrowed; as sent */
    struct json_violations violations;
};

enum parameter_needed { PARAMETER_OPTIONAL, PARAMETER_REQUIRED };

/* Copies the decoded value; "" when it is absent or wrong. A required one must not be empty. */
void parameter_text(struct parameters *parameters, const char *name, enum parameter_needed needed,
                    char *out, size_t size);
/* true, false, 1, 0. */
bool parameter_bool(struct parameters *parameters, const char *name, bool fallback);
/* A decimal number from min to max. */
int64_t parameter_int(struct parameters *parameters, const char *name, int64_t min, int64_t max,
                      int64_t fallback);
/* One of the words of a NULL-terminated list: its index; 0 when it is absent. */
size_t parameter_word(struct parameters *parameters, const char *name, const char *const *words);
/* A time of RFC 3339, in milliseconds since 1970; 0 when it is absent or wrong. */
int64_t parameter_time(struct parameters *parameters, const char *name);
/* A UUID; "" when it is absent or wrong. */
void parameter_id(struct parameters *parameters, const char *name, char out[ID_SIZE]);
/* A rule of the caller's own was broken; problem: "must be ...". */
void parameter_refuse(struct parameters *parameters, const char *name, const char *problem);
/* Permission bits: three or four octal digits; "" when it is absent. */
enum { PARAMETER_MODE_SIZE = 5 };
void parameter_mode(struct parameters *parameters, const char *name, char out[PARAMETER_MODE_SIZE]);

/* The word itself; empty when it is absent. */
struct view parameter_choice(struct parameters *parameters, const char *name,
                             const char *const *words);
/* ERR_INVALID "validation_failed" when anything was wrong. */
bool parameters_check(const struct parameters *parameters, struct err *err) MUST_CHECK;

/* What a list goes on from; "" when it is absent. ERR_INVALID "invalid_cursor" for one that is not
 * ours by its length. */
enum { PARAMETER_CURSOR_SIZE = 256 };
bool parameter_cursor(const struct parameters *parameters, char out[PARAMETER_CURSOR_SIZE],
                      struct err *err) MUST_CHECK;

#endif
