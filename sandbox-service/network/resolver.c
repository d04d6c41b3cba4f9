#include "sandbox-service/network/resolver.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "sandbox-service/network/dns_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKETS_A_TURN = 64, TTL_LEAST_S = 1 };

struct resolver {
    struct resolver_options options;
    int fd;
    struct event *readable; /* owned */
    struct list questions;  /* by age */
    size_t question_count;
    size_t opening_count;
    bool is_failing; /* said once */
};

/* One name on its way: asked of the servers in turn, then opened, then answered. */
struct question {
    struct list node;
    struct resolver *resolver; /* borrowed */
    bool is_waiting;           /* for its turn to have the addresses opened */
    bool is_opening;
    bool makes_room; /* there was none */
    struct egress_call opening;
    struct sockaddr_in from;
    struct dns_query query;
    struct dns_answer answer;
    char sandbox_id[ID_SIZE];
    uint16_t id;
    int tries;
    int fd;                 /* toward the server; -1: none */
    struct event *readable; /* owned */
    struct timer patience;
};

static void on_server_readable(evutil_socket_t fd, short what, void *arg);

static void end_try(struct question *question)
{
    if (question->readable != NULL) {
        event_free(question->readable);
        question->readable = NULL;
    }
    close_fd(&question->fd);
    question->fd = -1;
    timer_disarm(&question->patience);
}

/* The only way out of a question. */
static void finish(struct question *question)
{
    struct resolver *resolver = question->resolver;
    struct egress_box *box = egress_box_of(resolver->options.egress, question->sandbox_id);
    end_try(question);
    timer_close(&question->patience);
    list_remove(&question->node);
    resolver->question_count--;
    if (box != NULL && box->questions > 0) {
        box->questions--;
    }
    free(question);
}

static void send_answer(const struct resolver *resolver, const struct sockaddr_in *to,
                        const struct dns_query *query, const struct dns_answer *answer)
{
    uint8_t packet[DNS_MESSAGE_MAX];
    size_t len = dns_write_answer(query, answer, packet);
    /* One that does not get through is asked for again. */
    (void)!sendto(resolver->fd, packet, len, MSG_DONTWAIT, (const struct sockaddr *)to, sizeof *to);
}

static void give_answer(struct question *question)
{
    send_answer(question->resolver, &question->from, &question->query, &question->answer);
    finish(question);
}

static void fail(struct question *question)
{
    question->answer = (struct dns_answer){.code = DNS_SERVER_FAILURE};
    give_answer(question);
}

/* How many questions the sandbox has that this one is of. */
static size_t load_of(const struct question *question)
{
    const struct egress_box *box =
        egress_box_of(question->resolver->options.egress, question->sandbox_id);
    return box == NULL ? 0 : box->questions;
}

static void open_addresses(struct question *question);

/* Those with the fewest first, of as many the oldest. */
static struct question *next_to_open(const struct resolver *resolver)
{
    struct question *next = NULL;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): finish takes it off the list */
    for (LIST_EACH(node, &resolver->questions)) {
        struct question *question = LIST_ENTRY(node, struct question, node);
        if (question->is_waiting && (next == NULL || load_of(question) < load_of(next))) {
            next = question;
        }
    }
    return next;
}

static void open_waiting(struct resolver *resolver)
{
    struct question *next;
    while (resolver->opening_count < RESOLVER_OPENINGS_MAX &&
           (next = next_to_open(resolver)) != NULL) {
        next->is_waiting = false;
        open_addresses(next);
    }
}

static void note_opened(struct resolver *resolver, const struct question *question,
                        const struct err *err)
{
    if (err != NULL && !resolver->is_failing) {
        log_warn("resolver.not_opened", LOG_STR("sandbox_id", question->sandbox_id), LOG_ERR(err));
    }
    resolver->is_failing = err != NULL;
}

static void on_opened(const struct err *err, void *arg)
{
    struct question *question = arg;
    struct resolver *resolver = question->resolver;
    question->is_opening = false;
    resolver->opening_count--;
    if (err != NULL && !question->makes_room) {
        question->makes_room = true;
        question->is_waiting = true;
    } else {
        note_opened(resolver, question, err);
        if (err == NULL) {
            give_answer(question);
        } else {
            fail(question);
        }
    }
    open_waiting(resolver);
}

/* What no sandbox may reach is not told either: a name that leads there is of somebody who tries.
 */
static void leave_out_closed(struct question *question)
{
    struct egress *egress = question->resolver->options.egress;
    const struct egress_rules *rules = egress_rules_of(egress);
    struct egress_box *box = egress_box_of(egress, question->sandbox_id);
    struct dns_answer *answer = &question->answer;
    size_t kept = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (!egress_is_closed(rules, answer->addresses[i])) {
            answer->addresses[kept++] = answer->addresses[i];
        }
    }
    if (kept < answer->count && box != NULL) {
        denials_add(&box->denials, question->query.name);
        log_debug("resolver.closed_address", LOG_STR("sandbox_id", question->sandbox_id),
                  LOG_STR("name", question->query.name));
    }
    answer->count = kept;
}

static void open_addresses(struct question *question)
{
    struct resolver *resolver = question->resolver;
    struct egress *egress = resolver->options.egress;
    struct dns_answer *answer = &question->answer;
    const struct egress_box *box = egress_box_of(egress, question->sandbox_id);
    const struct egress_grant grant = {.name = question->query.name,
                                       .targets = answer->addresses,
                                       .count = answer->count,
                                       .makes_room = question->makes_room};
    struct err err = {0};
    /* Its policy may have become another one since it asked. */
    if (box == NULL || !policy_has_name(box->policy, view_of(question->query.name))) {
        question->answer = (struct dns_answer){.code = DNS_REFUSED};
    }
    if (answer->count == 0) {
        give_answer(question);
    } else if (egress_grant(egress, &question->opening, box, &grant, on_opened, question, &err)) {
        question->is_opening = true;
        resolver->opening_count++;
    } else {
        note_opened(resolver, question, &err);
        fail(question);
    }
}

static void take_answer(struct question *question)
{
    struct dns_answer *answer = &question->answer;
    end_try(question);
    leave_out_closed(question);
    answer->ttl_s = answer->ttl_s > RESOLVER_TTL_MAX_S ? RESOLVER_TTL_MAX_S : answer->ttl_s;
    answer->ttl_s = answer->ttl_s < TTL_LEAST_S ? TTL_LEAST_S : answer->ttl_s;
    if (answer->count == 0) {
        open_addresses(question); /* there is nothing to wait for */
        return;
    }
    question->is_waiting = true;
    open_waiting(question->resolver);
}

/* A port of its own each time, which the kernel chooses, and an id: what a guess has to meet. The
 * socket takes nothing but what comes from that server. */
static bool begin_try(struct question *question, struct err *err)
{
    const struct resolver_options *options = &question->resolver->options;
    uint8_t packet[DNS_MESSAGE_MAX];
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(options->server_port)};
    size_t index = (size_t)question->tries % options->server_count;
    server.sin_addr.s_addr = htonl(options->servers[index]);
    question->tries++;
    question->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (question->fd < 0 || !secret_random(&question->id, sizeof question->id, err)) {
        return err_set(err, ERR_INTERNAL, "no socket: %s", strerror(errno));
    }
    /* The last time as a server of old understands it. */
    bool with_size = question->tries < RESOLVER_TRIES;
    size_t len = dns_write_query(question->id, question->query.name, with_size, packet);
    question->readable = event_new(loop_base(options->loop), question->fd, EV_READ | EV_PERSIST,
                                   on_server_readable, question);
    if (question->readable == NULL || event_add(question->readable, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "out of memory");
    }
    if (connect(question->fd, (const struct sockaddr *)&server, sizeof server) != 0 ||
        send(question->fd, packet, len, 0) != (ssize_t)len) {
        return err_set(err, ERR_UNAVAILABLE, "the server: %s", strerror(errno));
    }
    return true;
}

static void try_next(struct question *question)
{
    struct err err = {0};
    end_try(question);
    while (question->tries < RESOLVER_TRIES) {
        if (begin_try(question, &err)) {
            timer_arm(&question->patience, RESOLVER_TRY_MS);
            return;
        }
        end_try(question);
    }
    fail(question);
}

static void on_no_answer(void *arg)
{
    try_next(arg);
}

static void on_server_readable(evutil_socket_t fd, short what, void *arg)
{
    struct question *question = arg;
    char packet[DNS_PACKET_MAX];
    (void)what;
    ssize_t len = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
    if (len < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            try_next(question); /* nobody listens there */
        }
        return;
    }
    if (!dns_read_answer((struct view){packet, (size_t)len}, question->id, question->query.name,
                         &question->answer)) {
        return;
    }
    const struct dns_answer *answer = &question->answer;
    bool is_known = answer->code == DNS_OK || answer->code == DNS_NO_NAME;
    bool is_lost = answer->is_cut && answer->count == 0;
    if (is_known && !is_lost) {
        take_answer(question);
    } else {
        try_next(question);
    }
}

/* Each costs a question outside and a change of the table, which everybody waits for. */
static bool may_ask(struct egress_box *box)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t from_ms = box->asked_to_ms > now_ms ? box->asked_to_ms : now_ms;
    if (from_ms - now_ms >= (int64_t)RESOLVER_BURST * RESOLVER_SPACING_MS) {
        return false;
    }
    box->asked_to_ms = from_ms + RESOLVER_SPACING_MS;
    return true;
}

/* Of the one with the most questions the oldest goes, unless that is who asks. */
static bool make_room(struct resolver *resolver, const struct egress_box *box)
{
    struct question *worst = NULL;
    if (resolver->question_count < RESOLVER_QUESTIONS_MAX) {
        return true;
    }
    for (LIST_EACH(node, &resolver->questions)) {
        struct question *question = LIST_ENTRY(node, struct question, node);
        if (!question->is_opening && (worst == NULL || load_of(question) > load_of(worst))) {
            worst = question;
        }
    }
    if (worst == NULL || load_of(worst) <= box->questions + 1) {
        return false;
    }
    fail(worst);
    return true;
}

static void ask(struct resolver *resolver, struct egress_box *box, const struct sockaddr_in *from,
                const struct dns_query *query)
{
    struct err err = {0};
    struct question *question = NULL;
    if (box->questions >= RESOLVER_QUESTIONS_OF_ONE_MAX || !may_ask(box) ||
        !make_room(resolver, box) || (question = calloc(1, sizeof *question)) == NULL) {
        return; /* it is asked again */
    }
    question->resolver = resolver;
    question->from = *from;
    question->query = *query;
    question->fd = -1;
    memcpy(question->sandbox_id, box->sandbox_id, ID_SIZE);
    list_append(&resolver->questions, &question->node);
    resolver->question_count++;
    box->questions++;
    if (timer_open(&question->patience, resolver->options.loop, on_no_answer, question, &err)) {
        try_next(question);
    } else {
        fail(question);
    }
}

static void refuse(const struct resolver *resolver, const struct sockaddr_in *from,
                   const struct dns_query *query, enum dns_code code)
{
    const struct dns_answer answer = {.code = code};
    send_answer(resolver, from, query, &answer);
}

static void on_question(struct resolver *resolver, const struct sockaddr_in *from,
                        struct view packet)
{
    struct dns_query query;
    struct egress_box *box = egress_box_at(resolver->options.egress, ntohl(from->sin_addr.s_addr));
    if (box == NULL || !dns_read_query(packet, &query)) {
        return;
    }
    if (!dns_query_is_ordinary(&query)) {
        refuse(resolver, from, &query, DNS_NOT_IMPLEMENTED);
    } else if (!policy_has_name(box->policy, view_of(query.name))) {
        denials_add(&box->denials, query.name);
        log_debug("resolver.denied", LOG_STR("sandbox_id", box->sandbox_id),
                  LOG_STR("name", query.name));
        refuse(resolver, from, &query, DNS_REFUSED);
    } else if (query.type != DNS_TYPE_A) {
        refuse(resolver, from, &query, DNS_OK); /* there is the name, and nothing of that type */
    } else {
        ask(resolver, box, from, &query);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct resolver *resolver = arg;
    char packet[DNS_PACKET_MAX];
    (void)what;
    for (int i = 0; i < PACKETS_A_TURN; i++) {
        struct sockaddr_in from = {0};
        socklen_t size = sizeof from;
        ssize_t len =
            recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (len < 0) {
            return;
        }
        on_question(resolver, &from, (struct view){packet, (size_t)len});
    }
}

static bool listen_there(struct resolver *resolver, struct err *err)
{
    const struct resolver_options *options = &resolver->options;
    int on = 1;
    char text[ADDRESS_SIZE];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    address.sin_addr.s_addr = htonl(options->address);
    address_format(options->address, text);
    resolver->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* FREEBIND: the bridge may come later. */
    if (resolver->fd < 0 ||
        setsockopt(resolver->fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) != 0 ||
        bind(resolver->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        return err_set(err, ERR_UNAVAILABLE, "can't serve names at %s:%d: %s", text, options->port,
                       strerror(errno));
    }
    resolver->readable = event_new(loop_base(options->loop), resolver->fd, EV_READ | EV_PERSIST,
                                   on_readable, resolver);
    return (resolver->readable != NULL && event_add(resolver->readable, NULL) == 0) ||
           err_set(err, ERR_INTERNAL, "resolver: out of memory");
}

struct resolver *resolver_open(const struct resolver_options *options, struct err *err)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        err_set(err, ERR_INTERNAL, "resolver: out of memory");
        return NULL;
    }
    resolver->options = *options;
    resolver->fd = -1;
    list_init(&resolver->questions);
    if (!listen_there(resolver, err)) {
        resolver_close(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_close(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    if (resolver->readable != NULL) {
        event_free(resolver->readable);
    }
    for (LIST_EACH(node, &resolver->questions)) {
        struct question *question = LIST_ENTRY(node, struct question, node);
        end_try(question);
        timer_close(&question->patience);
        free(question);
    }
    close_fd(&resolver->fd);
    free(resolver);
}
