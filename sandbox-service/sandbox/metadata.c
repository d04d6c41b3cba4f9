#include "sandbox-service/sandbox/metadata.h"

#include "common/contracts/sandbox.h"

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

/* Behind an e: how many digits it stands for, no more than it takes to be too many. */
static size_t skip_exponent(struct view *rest)
{
    size_t digits = 0;
    if (rest->len > 0 && (rest->ptr[0] == '+' || rest->ptr[0] == '-')) {
        *rest = view_from(*rest, 1);
    }
    while (rest->len > 0 && is_digit(rest->ptr[0])) {
        digits = digits * 10 + (size_t)(rest->ptr[0] - '0');
        digits = digits > METADATA_BYTES_MAX ? METADATA_BYTES_MAX : digits;
        *rest = view_from(*rest, 1);
    }
    return digits;
}

bool metadata_check(struct view text, struct err *err)
{
    struct view rest = text;
    size_t written = text.len;
    char before = '\0';
    while (rest.len > 0) {
        char c = rest.ptr[0];
        rest = view_from(rest, 1);
        if (c == '"' && !skip_string(&rest)) {
            return err_set_reason(err, ERR_INVALID, "validation_failed",
                                  "metadata must not hold U+0000");
        }
        if ((c == 'e' || c == 'E') && is_digit(before)) {
            written += skip_exponent(&rest);
        }
        before = c;
    }
    return written <= METADATA_BYTES_MAX ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "metadata must not exceed %d bytes with its numbers written out",
                          METADATA_BYTES_MAX);
}
