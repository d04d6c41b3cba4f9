/* gateway/native/text_carry.h: text that arrives in pieces, cut anywhere: the beginning of a
 * character whose end is still to come waits for the next piece. */
#ifndef GATEWAY_NATIVE_TEXT_CARRY_H
#define GATEWAY_NATIVE_TEXT_CARRY_H

#include "common/base/str.h"

enum { TEXT_CARRY_MAX = 3 };

/* Zero to begin with. */
struct text_carry {
    char bytes[TEXT_CARRY_MAX];
    size_t len;
};

/* What was carried and piece, less the beginning of a character at its end. Points into piece or
 * into scratch, which is used when something was carried. */
struct view text_carry_join(struct text_carry *carry, struct view piece, struct str *scratch);

#endif
