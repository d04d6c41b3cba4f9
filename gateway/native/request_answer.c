/* Answers in pieces. */
#include "gateway/native/request.h"

void request_begin_answer(struct request *request, const struct http_response *response,
                          int64_t length, void (*on_drained)(void *arg))
{
    request->is_answering = true;
    http_respond_begin(request->exchange, response, length, on_drained, request);
}

bool request_send(struct request *request, struct view bytes)
{
    return request->exchange != NULL && http_send_piece(request->exchange, bytes);
}

void request_end_answer(struct request *request)
{
    struct http_exchange *exchange = request_hand_over(request);
    if (exchange != NULL) {
        http_respond_end(exchange);
    }
}

void request_abort_answer(struct request *request)
{
    request_end_act_unknown(request, "answer_cut");
    struct http_exchange *exchange = request_hand_over(request);
    if (exchange != NULL) {
        http_respond_abort(exchange);
    }
}
