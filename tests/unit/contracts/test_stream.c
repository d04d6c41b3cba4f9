/* common/contracts/stream.c: frames of streams, and credit. */
#include "common/contracts/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool reads(struct view message, struct stream_frame *frame)
{
    struct err err = {0};
    bool read = stream_frame_read(message, frame, &err);
    assert_int_equal(err.code, read ? ERR_NONE : ERR_INVALID);
    return read;
}

static void frame_is_id_kind_zeros_payload(void **state)
{
    (void)state;
    struct stream_frame frame;
    assert_true(reads(VIEW("\x01\x02\x03\x04\x02\0\0\0out"), &frame));
    assert_int_equal(frame.id, 0x01020304);
    assert_int_equal(frame.kind, STREAM_STDERR);
    assert_true(view_equal(frame.payload, VIEW("out")));
    char header[STREAM_HEADER_SIZE];
    stream_header_write(frame.id, frame.kind, header);
    assert_memory_equal(header, "\x01\x02\x03\x04\x02\0\0\0", sizeof header);
}

static void window_frame_carries_a_number(void **state)
{
    (void)state;
    struct stream_frame frame;
    char window[STREAM_WINDOW_SIZE];
    assert_true(reads(VIEW("\0\0\0\1\3\0\0\0\0\1\0\2"), &frame));
    assert_int_equal(frame.window, 0x10002);
    stream_window_write(frame.window, window);
    assert_memory_equal(window, "\0\1\0\2", sizeof window);
}

static void reset_may_carry_a_code(void **state)
{
    (void)state;
    struct stream_frame frame;
    assert_true(reads(VIEW("\0\0\0\1\5\0\0\0file_changed"), &frame));
    assert_true(view_equal(frame.payload, VIEW("file_changed")));
    assert_true(reads(VIEW("\0\0\0\1\5\0\0\0"), &frame));
}

static void malformed_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct view message;
    } wrong[] = {
        {"nothing", VIEW("")},
        {"a cut header", VIEW("\0\0\0\1\0\0\0")},
        {"stream 0", VIEW("\0\0\0\0\0\0\0\0x")},
        {"a stream over the largest", VIEW("\x80\0\0\0\0\0\0\0x")},
        {"an unknown kind", VIEW("\0\0\0\1\6\0\0\0x")},
        {"no zeros", VIEW("\0\0\0\1\0\0\0\1x")},
        {"a window of 0", VIEW("\0\0\0\1\3\0\0\0\0\0\0\0")},
        {"a short window", VIEW("\0\0\0\1\3\0\0\0\0\0\1")},
        {"a fin with a payload", VIEW("\0\0\0\1\4\0\0\0x")},
        {"a reset with a sentence", VIEW("\0\0\0\1\5\0\0\0Not found")},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct stream_frame frame;
        if (reads(wrong[i].message, &frame)) {
            fail_msg("%s was taken", wrong[i].what);
        }
    }
}

static void credit_is_never_overdrawn_or_boundless(void **state)
{
    (void)state;
    struct stream_credit credit = stream_credit_begin();
    assert_false(stream_credit_use(&credit, STREAM_WINDOW_INITIAL + 1));
    assert_true(stream_credit_use(&credit, STREAM_WINDOW_INITIAL));
    assert_false(stream_credit_use(&credit, 1));
    assert_true(stream_credit_add(&credit, STREAM_CREDIT_MAX));
    assert_false(stream_credit_add(&credit, 1));
    assert_false(stream_credit_add(&credit, UINT32_MAX));
    assert_int_equal(credit.left, STREAM_CREDIT_MAX);
}

static void what_is_used_up_is_granted_again_in_good_parts(void **state)
{
    (void)state;
    struct stream_intake intake = stream_intake_begin();
    uint64_t granted = 0;
    unsigned grants = 0;
    for (int i = 0; i < 1024; i++) {
        assert_true(stream_credit_use(&intake.credit, 1024));
        uint32_t grant = stream_intake_take(&intake, 1024);
        granted += grant;
        grants += grant > 0;
    }
    assert_int_equal(granted, 1024 * 1024);
    assert_int_equal(grants, 16);
}

static void a_wider_window_is_granted_in_larger_parts(void **state)
{
    (void)state;
    enum { MORE = 3 * STREAM_WINDOW_INITIAL, PART = STREAM_WINDOW_INITIAL };
    struct stream_intake intake = stream_intake_begin();
    assert_false(stream_intake_widen(&intake, STREAM_CREDIT_MAX));
    assert_true(stream_intake_widen(&intake, MORE));
    assert_true(stream_credit_use(&intake.credit, STREAM_WINDOW_INITIAL + MORE));
    assert_false(stream_credit_use(&intake.credit, 1));
    assert_int_equal(stream_intake_take(&intake, PART - 1), 0);
    assert_int_equal(stream_intake_take(&intake, 1), PART);
    assert_int_equal(intake.credit.left, PART);
    assert_false(stream_intake_widen(&intake, STREAM_CREDIT_MAX - STREAM_WINDOW_INITIAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_is_id_kind_zeros_payload),
        cmocka_unit_test(window_frame_carries_a_number),
        cmocka_unit_test(reset_may_carry_a_code),
        cmocka_unit_test(malformed_frames_are_refused),
        cmocka_unit_test(credit_is_never_overdrawn_or_boundless),
        cmocka_unit_test(what_is_used_up_is_granted_again_in_good_parts),
        cmocka_unit_test(a_wider_window_is_granted_in_larger_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
