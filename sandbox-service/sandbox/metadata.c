#include "sandbox-service/sandbox/metadata.h"

#include "common/contracts/sandbox.h"
#include "common/json/scan.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* From behind the opening quote to behind the closing one; false when U+0000 is in between. */
static bool skip_string(struct view *rest)
{
    static const struct view nul = VIEW("\\u0000");
    while (rest->len > 0 && rest->ptr[0] != '"') {
        if (view_starts_with(*rest, nul)) {
            return false;
        }
        size_t len = rest->ptr[0] == '\\' && rest->len > 1 ? 2 : 1;
        *rest = view_from(*rest, len);
    }
    if (rest->len > 0) {
        *rest = view_from(*rest, 1);
    }
    return true;
}

/* The digits at the front, as a number; what is beyond any limit stays just beyond it. */
static size_t skip_digits(struct view *rest)
{
    size_t number = 0;
    while (rest->len > 0 && is_digit(rest->ptr[0])) {
        number = number * 10 + (size_t)(rest->ptr[0] - '0');
        number = number > METADATA_BYTES_MAX ? METADATA_BYTES_MAX : number;
        *rest = view_from(*rest, 1);
    }
    return number;
}

/* Returns how many bytes the number at the front has when it is written out: 1e3 has four. */
static size_t skip_number(struct view *rest)
{
    size_t before = rest->len;
    while (rest->len > 0 &&
           (is_digit(rest->ptr[0]) || rest->ptr[0] == '.' || rest->ptr[0] == '-')) {
        *rest = view_from(*rest, 1);
    }
    size_t written = before - rest->len;
    if (rest->len == 0 || (rest->ptr[0] | 0x20) != 'e') {
        return written;
    }
    *rest = view_from(*rest, 1);
    bool is_small = rest->len > 0 && rest->ptr[0] == '-';
    if (is_small || (rest->len > 0 && rest->ptr[0] == '+')) {
        *rest = view_from(*rest, 1);
    }
    return written + skip_digits(rest) + (is_small ? sizeof "0." - 1 : 0);
}

static bool refuse(struct err *err, const char *what, int max)
{
    return err_set_reason(err, ERR_INVALID, "validation_failed",
                          "metadata must not %s %d bytes with its numbers written out", what, max);
}

bool metadata_check(struct view text, struct err *err)
{
    struct view rest = text;
    size_t written = 0;
    while (rest.len > 0) {
        struct view begin = rest;
        size_t number = 0;
        if (rest.ptr[0] == '-' || is_digit(rest.ptr[0])) {
            number = skip_number(&rest);
            written += number;
        } else {
            rest = view_from(rest, 1);
            if (begin.ptr[0] == '"' && !skip_string(&rest)) {
                return err_set_reason(err, ERR_INVALID, "validation_failed",
                                      "metadata must not hold U+0000");
            }
            written += begin.len - rest.len;
        }
        if (number > JSON_NUMBER_MAX) {
            return refuse(err, "hold a number of more than", JSON_NUMBER_MAX);
        }
    }
    return written <= METADATA_BYTES_MAX || refuse(err, "exceed", METADATA_BYTES_MAX);
}
