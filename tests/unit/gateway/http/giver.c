#include "tests/unit/gateway/http/giver.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void on_gone(void *arg)
{
    struct giver *giver = arg;
    assert_false(giver->inside);
    giver->exchange = NULL;
    giver->gone++;
}

void giver_fill(struct giver *giver)
{
    static char piece[GIVER_PIECE_BYTES];
    bool has_room = true;
    giver->inside = true;
    while (has_room && giver->left > 0) {
        memset(piece, 'a' + (int)(giver->left / GIVER_PIECE_BYTES % 26), sizeof piece);
        has_room = http_send_piece(giver->exchange, (struct view){piece, sizeof piece});
        giver->left -= sizeof piece;
    }
    giver->inside = false;
    if (giver->left == 0 && has_room && giver->sent_it) {
        http_respond_end(TAKE(giver->exchange));
    }
}

static void on_drained(void *arg)
{
    struct giver *giver = arg;
    assert_false(giver->inside);
    assert_true(http_stream_backlog(giver->exchange) <= HTTP_BACKLOG_MAX / 4);
    giver->drained++;
    giver_fill(giver);
}

static void give(struct http_exchange *exchange, void *arg)
{
    struct giver *giver = arg;
    giver->exchange = exchange;
    http_on_gone(exchange, on_gone, giver);
    giver->inside = true;
    http_respond_begin(exchange, &giver->response, giver->length, on_drained, giver);
    giver->inside = false;
}

void giver_open(struct giver *giver, const struct http_limits *limits)
{
    *giver = (struct giver){.response = {.status = 200, .content_type = "text/plain"},
                            .length = HTTP_LENGTH_UNKNOWN};
    scene_open(&giver->scene, limits);
    giver->scene.fixture.on_custom = give;
    giver->scene.fixture.custom_arg = giver;
}

void giver_close(struct giver *giver)
{
    scene_close(&giver->scene);
}

void giver_connect_tcp(struct giver *giver)
{
    struct err err = {0};
    struct fixture *fixture = &giver->scene.fixture;
    struct http_listener *tcp = http_listen_tcp(fixture->server, "127.0.0.1", 0, fixture, &err);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_non_null(tcp);
    address.sin_port = htons(http_listener_port(tcp));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    client_close(&giver->scene.client);
    client_adopt(&giver->scene.client, fixture, fd);
    fixture_settle(fixture);
}

bool giver_send(struct giver *giver, const char *text)
{
    return http_send_piece(giver->exchange, view_of(text));
}

void giver_end(struct giver *giver)
{
    http_respond_end(TAKE(giver->exchange));
    fixture_settle(&giver->scene.fixture);
    client_receive(&giver->scene.client);
}
