#include "sandbox-service/agent/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OUT, ERR };

static const size_t double_min = (size_t)2 * SPOOL_MIN;
static const size_t triple_default = (size_t)3 * SPOOL_DEFAULT;
static const size_t small_bound = 16384;

static struct spool_pool pool;

static bool put(struct spool *spool, unsigned kind, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t room = 0;
        char *place = spool_reserve(spool, kind, &room);
        if (place == NULL) {
            return false;
        }
        size_t some = len < room ? len : room;
        memcpy(place, bytes, some);
        spool_commit(spool, kind, some);
        bytes += some;
        len -= some;
    }
    return true;
}

static bool put_text(struct spool *spool, unsigned kind, const char *text)
{
    return put(spool, kind, text, strlen(text));
}

/* Fills with bytes until the spool takes no more or len are in. */
static size_t fill(struct spool *spool, unsigned kind, size_t len)
{
    size_t before = spool->end[kind];
    for (size_t i = 0; i < len; i++) {
        char byte = (char)('a' + (before + i) % 26);
        if (!put(spool, kind, &byte, 1)) {
            return i;
        }
    }
    return len;
}

/* All that a reader gets, as "o:text|e:text|". */
static const char *read_all(struct spool_reader *reader)
{
    static char text[4096];
    unsigned kind = 0;
    unsigned last = SPOOL_KINDS;
    struct view bytes;
    size_t len = 0;
    while (spool_read(reader, 3, &kind, &bytes)) {
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s",
                                kind == last  ? ""
                                : kind == OUT ? "|o:"
                                              : "|e:",
                                (int)bytes.len, bytes.ptr);
        last = kind;
        spool_reader_advance(reader, kind, bytes.len);
    }
    text[len] = '\0';
    return text;
}

static uint64_t count_all(struct spool_reader *reader)
{
    uint64_t count = 0;
    unsigned kind = 0;
    struct view bytes;
    while (spool_read(reader, SPOOL_READ_MAX, &kind, &bytes)) {
        assert_int_equal(bytes.ptr[0], 'a' + (int)(reader->here[kind] % 26));
        count += bytes.len;
        spool_reader_advance(reader, kind, bytes.len);
    }
    return count;
}

static void output_is_read_in_the_order_it_came(void **state)
{
    (void)state;
    static const uint64_t from[SPOOL_KINDS];
    struct spool spool;
    struct spool_reader reader;
    spool_open(&spool, &pool, SPOOL_DEFAULT);
    spool_reader_open(&reader, &spool, from);
    assert_string_equal(read_all(&reader), "");
    assert_true(put_text(&spool, OUT, "one") && put_text(&spool, OUT, "two"));
    assert_true(put_text(&spool, ERR, "oops") && put_text(&spool, OUT, "three"));
    assert_string_equal(read_all(&reader), "|o:onetwo|e:oops|o:three");
    assert_string_equal(read_all(&reader), "");
    assert_true(put_text(&spool, OUT, "four"));
    assert_string_equal(read_all(&reader), "|o:four");
    assert_int_equal(spool.end[OUT], 15);
    assert_int_equal(spool.end[ERR], 4);
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void reader_begins_where_it_asks(void **state)
{
    (void)state;
    struct spool spool;
    struct spool_reader reader;
    spool_open(&spool, &pool, SPOOL_DEFAULT);
    assert_true(put_text(&spool, OUT, "0123456789") && put_text(&spool, ERR, "abc") &&
                put_text(&spool, OUT, "XYZ"));
    const uint64_t middle[] = {4, 3};
    spool_reader_open(&reader, &spool, middle);
    assert_string_equal(read_all(&reader), "|o:456789XYZ");
    spool_reader_close(&reader);
    const uint64_t late[] = {12, 2};
    spool_reader_open(&reader, &spool, late);
    assert_string_equal(read_all(&reader), "|e:c|o:Z");
    spool_reader_close(&reader);
    spool_reader_open(&reader, &spool, spool.end);
    assert_true(put_text(&spool, OUT, "new"));
    assert_string_equal(read_all(&reader), "|o:new");
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void oldest_goes_when_nobody_reads(void **state)
{
    (void)state;
    static const uint64_t from[SPOOL_KINDS];
    struct spool spool;
    struct spool_reader reader;
    spool_open(&spool, &pool, SPOOL_MIN);
    assert_int_equal(fill(&spool, OUT, 50000), 50000);
    assert_true(spool.used <= SPOOL_MIN);
    assert_true(spool.begin[OUT] > 50000 - SPOOL_MIN && spool.begin[OUT] < 50000 - SPOOL_MIN / 2);
    spool_reader_open(&reader, &spool, from);
    assert_int_equal(count_all(&reader), 50000 - spool.begin[OUT]);
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void full_spool_waits_for_the_slowest_reader(void **state)
{
    (void)state;
    static const uint64_t from[SPOOL_KINDS];
    struct spool spool;
    struct spool_reader slow;
    struct spool_reader quick;
    size_t room = 0;
    spool_open(&spool, &pool, double_min);
    spool_reader_open(&slow, &spool, from);
    spool_reader_open(&quick, &spool, from);
    size_t filled = fill(&spool, OUT, 50000);
    assert_true(filled > SPOOL_MIN && filled <= double_min);
    assert_int_equal(count_all(&quick), filled);
    assert_null(spool_reserve(&spool, OUT, &room));
    assert_true(spool_waits_for_reader(&spool));
    spool_reader_close(&quick);
    assert_int_equal(count_all(&slow), filled);
    assert_false(spool_waits_for_reader(&spool));
    assert_non_null(spool_reserve(&spool, OUT, &room));
    assert_int_equal(fill(&spool, ERR, 1000), 1000);
    assert_int_equal(count_all(&slow), 1000);
    /* One that stands in the way no more lets the rest come. */
    assert_true(fill(&spool, OUT, 50000) < 50000);
    spool_reader_close(&slow);
    assert_int_equal(fill(&spool, OUT, 50000), 50000);
    spool_close(&spool);
}

static void memory_is_given_back(void **state)
{
    (void)state;
    struct spool spool;
    spool_open(&spool, &pool, SPOOL_DEFAULT);
    assert_int_equal(pool.used, 0);
    assert_true(put_text(&spool, OUT, "little"));
    assert_true(spool.used <= 1024);
    assert_int_equal(fill(&spool, OUT, triple_default), triple_default);
    assert_true(spool.used <= SPOOL_DEFAULT && spool.used > SPOOL_DEFAULT / 2);
    assert_int_equal(pool.used, spool.used);
    assert_int_equal(pool.shared, spool.used - SPOOL_RESERVE);
    spool_seal(&spool);
    spool_trim(&spool, small_bound);
    assert_true(spool.used <= small_bound);
    spool_close(&spool);
    assert_int_equal(pool.used, 0);
    assert_int_equal(pool.shared, 0);
}

/* Those with most give, and each has its reserve at least. */
static void all_spools_together_are_bounded(void **state)
{
    enum { COUNT = 64 };
    (void)state;
    static struct spool spools[COUNT];
    static char block[64 * 1024];
    size_t rich = 0;
    for (int i = 0; i < COUNT; i++) {
        spool_open(&spools[i], &pool, SPOOL_MAX);
        for (int j = 0; j < 200; j++) {
            assert_true(put(&spools[i], OUT, block, sizeof block));
            assert_true(pool.used <= SPOOLS_BYTES_MAX && pool.shared <= SPOOLS_SHARED_MAX);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(spools[i].used >= SPOOL_RESERVE / 2);
        rich = spools[i].used > rich ? spools[i].used : rich;
    }
    assert_true(rich < SPOOL_MAX);
    for (int i = 0; i < COUNT; i++) {
        spool_close(&spools[i]);
    }
    assert_int_equal(pool.used, 0);
}

/* What stalled readers hold is not taken, and nobody else starves of it. */
static void stalled_readers_leave_others_their_reserve(void **state)
{
    enum { COUNT = 8 };
    (void)state;
    static const uint64_t from[SPOOL_KINDS];
    static struct spool spools[COUNT];
    static struct spool_reader readers[COUNT];
    static char block[64 * 1024];
    struct spool late;
    for (int i = 0; i < COUNT; i++) {
        spool_open(&spools[i], &pool, SPOOL_MAX);
        spool_reader_open(&readers[i], &spools[i], from);
        while (put(&spools[i], OUT, block, sizeof block)) {
        }
    }
    spool_open(&late, &pool, SPOOL_DEFAULT);
    assert_true(fill(&late, OUT, 100000) == 100000);
    assert_true(late.used >= SPOOL_RESERVE / 2);
    assert_true(pool.used <= SPOOLS_BYTES_MAX && pool.shared <= SPOOLS_SHARED_MAX);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(spools[i].begin[OUT], 0);
        spool_reader_close(&readers[i]);
        spool_close(&spools[i]);
    }
    spool_close(&late);
}

/* Always the same numbers. */
static unsigned random_below(unsigned bound)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(state >> 33U) % bound;
}

static void random_use_loses_nothing_for_a_reader(void **state)
{
    (void)state;
    static const uint64_t from[SPOOL_KINDS];
    struct spool spool;
    struct spool_reader reader;
    uint64_t read[SPOOL_KINDS] = {0};
    spool_open(&spool, &pool, small_bound);
    spool_reader_open(&reader, &spool, from);
    for (int turn = 0; turn < 200000; turn++) {
        (void)fill(&spool, random_below(SPOOL_KINDS), random_below(40));
        unsigned kind = 0;
        struct view bytes;
        for (unsigned i = random_below(3);
             i > 0 && spool_read(&reader, 1 + random_below(50), &kind, &bytes); i--) {
            assert_int_equal(bytes.ptr[0], 'a' + (int)(read[kind] % 26));
            read[kind] += bytes.len;
            spool_reader_advance(&reader, kind, bytes.len);
        }
    }
    assert_true(read[OUT] > 100000 && read[ERR] > 100000);
    assert_true(spool.end[OUT] - read[OUT] <= small_bound);
    spool_reader_close(&reader);
    spool_close(&spool);
}

static int set_up(void **state)
{
    (void)state;
    spool_pool_init(&pool);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(output_is_read_in_the_order_it_came),
        TEST(reader_begins_where_it_asks),
        TEST(oldest_goes_when_nobody_reads),
        TEST(full_spool_waits_for_the_slowest_reader),
        TEST(memory_is_given_back),
        TEST(all_spools_together_are_bounded),
        TEST(stalled_readers_leave_others_their_reserve),
        TEST(random_use_loses_nothing_for_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
