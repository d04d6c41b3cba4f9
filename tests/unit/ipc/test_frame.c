/* common/ipc/frame.c: messages on a byte stream. */
#include "common/ipc/envelope.h"
#include "common/ipc/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char two_frames[] = "\0\0\0\2\0\0\0\0\0\0\0\7{}"
                                 "\0\0\0\0\1\0\0\0\0\0\0\0";
enum { FIRST_SIZE = 14, BOTH_SIZE = sizeof two_frames - 1 };

static void written_frame_has_length_and_id_in_network_order(void **state)
{
    (void)state;
    struct str out = STR_INIT(1024);
    struct err err;
    ipc_frame_write(&out, 7, VIEW("{}"));
    ipc_frame_write(&out, UINT64_C(1) << 56U, VIEW(""));
    assert_true(str_check(&out, "frames", &err));
    assert_int_equal(out.len, BOTH_SIZE);
    assert_memory_equal(out.data, two_frames, BOTH_SIZE);
    str_free(&out);
}

static void frames_are_read_one_after_the_other(void **state)
{
    (void)state;
    struct ipc_frame frame;
    size_t size;
    const struct view bytes = {two_frames, BOTH_SIZE};
    assert_int_equal(ipc_frame_read(bytes, &frame, &size), IPC_FRAME_WHOLE);
    assert_int_equal(size, FIRST_SIZE);
    assert_int_equal(frame.id, 7);
    assert_true(view_equal(frame.text, VIEW("{}")));
    assert_int_equal(ipc_frame_read(view_from(bytes, size), &frame, &size), IPC_FRAME_WHOLE);
    assert_int_equal(size, IPC_FRAME_HEAD_SIZE);
    assert_int_equal(frame.id, UINT64_C(1) << 56U);
    assert_int_equal(frame.text.len, 0);
}

static void frame_cut_anywhere_is_partial(void **state)
{
    (void)state;
    struct ipc_frame frame;
    size_t size;
    for (size_t len = 0; len < FIRST_SIZE; len++) {
        const struct view bytes = {two_frames, len};
        assert_int_equal(ipc_frame_read(bytes, &frame, &size), IPC_FRAME_PARTIAL);
        assert_int_equal(size, len < IPC_FRAME_HEAD_SIZE ? 0 : FIRST_SIZE);
    }
}

static void frame_over_the_limit_is_told_from_its_head(void **state)
{
    (void)state;
    struct ipc_frame frame;
    size_t size;
    struct str out = STR_INIT(1024);
    ipc_frame_write(&out, 1, VIEW(""));
    out.data[1] = IPC_MESSAGE_MAX >> 16U; /* the limit exactly */
    assert_int_equal(ipc_frame_read(str_view(&out), &frame, &size), IPC_FRAME_PARTIAL);
    assert_int_equal(size, IPC_FRAME_HEAD_SIZE + IPC_MESSAGE_MAX);
    out.data[3] = 1;
    assert_int_equal(ipc_frame_read(str_view(&out), &frame, &size), IPC_FRAME_TOO_LONG);
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_frame_has_length_and_id_in_network_order),
        cmocka_unit_test(frames_are_read_one_after_the_other),
        cmocka_unit_test(frame_cut_anywhere_is_partial),
        cmocka_unit_test(frame_over_the_limit_is_told_from_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
