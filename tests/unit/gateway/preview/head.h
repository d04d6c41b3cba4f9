/* tests/unit/gateway/preview/head.h: requests' heads as tables, for the parts that read them. */
#ifndef TESTS_UNIT_GATEWAY_PREVIEW_HEAD_H
#define TESTS_UNIT_GATEWAY_PREVIEW_HEAD_H

#include "common/base/str.h"
#include "gateway/http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"
#define SANDBOX_ID32 "33333333333343338333333333333333"

static inline void assert_text(struct view actual, const char *expected)
{
    char text[8192];
    assert_true(view_copy(actual, text, sizeof text));
    assert_string_equal(text, expected);
}

#endif
