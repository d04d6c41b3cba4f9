#include "common/event/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, LETTERS = 2000 };

struct note {
    struct letter letter;
    int thread;
    int number;
};

static struct loop *loop;
static struct mailbox *mailbox;
static int delivered;
static int next_number[THREADS];
static pthread_t loop_thread;

static void on_note(struct letter *letter)
{
    struct note *note = LIST_ENTRY(letter, struct note, letter);
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_int_equal(note->number, next_number[note->thread]);
    next_number[note->thread]++;
    free(note);
    if (++delivered == THREADS * LETTERS) {
        loop_stop(loop);
    }
}

static void post(int thread, int number)
{
    struct note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        abort();
    }
    note->letter.on_delivered = on_note;
    note->thread = thread;
    note->number = number;
    mailbox_post(mailbox, &note->letter);
}

static void *post_many(void *arg)
{
    const int *thread = arg;
    for (int i = 0; i < LETTERS; i++) {
        post(*thread, i);
    }
    return NULL;
}

static int open_mailbox(void **state)
{
    (void)state;
    struct err err;
    loop = loop_new(&err);
    mailbox = loop == NULL ? NULL : mailbox_new(loop, &err);
    delivered = 0;
    memset(next_number, 0, sizeof next_number);
    loop_thread = pthread_self();
    return mailbox == NULL ? 1 : 0;
}

static int close_mailbox(void **state)
{
    (void)state;
    mailbox_free(mailbox);
    loop_free(loop);
    return 0;
}

static void letters_of_many_threads_arrive_in_each_one_s_order(void **state)
{
    (void)state;
    static int numbers[THREADS] = {0, 1, 2, 3};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &numbers[i]), 0);
    }
    loop_run(loop);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(delivered, THREADS * LETTERS);
}

static void letters_can_be_delivered_at_once(void **state)
{
    (void)state;
    post(0, 0);
    post(0, 1);
    assert_int_equal(delivered, 0);
    mailbox_deliver(mailbox);
    assert_int_equal(delivered, 2);
    mailbox_deliver(mailbox);
    assert_int_equal(delivered, 2);
}

static void freeing_delivers_what_waits(void **state)
{
    (void)state;
    post(0, 0);
    mailbox_free(mailbox);
    mailbox = NULL;
    assert_int_equal(delivered, 1);
}

static int posted_again;
static void post_once_more(struct letter *letter)
{
    if (posted_again++ == 0) {
        mailbox_post(mailbox, letter);
        assert_int_equal(posted_again, 1);
    } else {
        loop_stop(loop);
    }
}

static void a_letter_may_be_posted_when_it_is_delivered(void **state)
{
    (void)state;
    struct letter letter = {.on_delivered = post_once_more};
    posted_again = 0;
    mailbox_post(mailbox, &letter);
    loop_run(loop);
    assert_int_equal(posted_again, 2);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_mailbox, close_mailbox)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(letters_of_many_threads_arrive_in_each_one_s_order),
        CASE(letters_can_be_delivered_at_once),
        CASE(freeing_delivers_what_waits),
        CASE(a_letter_may_be_posted_when_it_is_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
