/* gateway/http/syntax.h: the small rules of RFC 9110 that several places share. */
#ifndef GATEWAY_HTTP_SYNTAX_H
#define GATEWAY_HTTP_SYNTAX_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

/* tchar of RFC 9110, 5.6.2. */
bool syntax_is_token_byte(char c) MUST_CHECK;
bool syntax_is_token(struct view text) MUST_CHECK;

/* No control byte but tab; bytes over 0x7f are allowed. */
bool syntax_is_value_byte(char c) MUST_CHECK;
bool syntax_is_value(struct view text) MUST_CHECK;

/* host[:port]: a name of letters, digits, '.', '-' and '_', or an address, IPv6 in brackets. */
bool syntax_is_host(struct view text) MUST_CHECK;

/* 0..15, or -1. */
int syntax_hex_digit(char c) MUST_CHECK;

/* Resolves percent escapes into out, with a NUL behind. False for a bad escape, for NUL, for what
 * is not UTF-8 then, and for what does not fit. In forms '+' is a space. */
enum syntax_plus { SYNTAX_PLUS, SYNTAX_SPACE };
bool syntax_unescape(struct view text, enum syntax_plus plus, char *out, size_t size,
                     size_t *out_len) MUST_CHECK;

/* Less the spaces and tabs at both ends. */
struct view syntax_trim(struct view text);

/* Takes the next item off a comma-separated list, trimmed, perhaps empty; false at the end. */
bool syntax_next_item(struct view *list, struct view *item) MUST_CHECK;
/* Whether the list has that item, in any letter case. */
bool syntax_list_has(struct view list, struct view item) MUST_CHECK;

#endif
