#include "gateway/native/client_admission.h"

#include "common/base/cleanup.h"

void client_admission_open(struct client_admission *admission, struct limits *limits,
                           const struct limit_request *costs, void (*on_decided)(void *arg),
                           void *arg)
{
    *admission = (struct client_admission){
        .limits = limits, .costs = *costs, .on_decided = on_decided, .arg = arg};
}

void client_admission_close(struct client_admission *admission)
{
    if (admission->wait != NULL) {
        limit_wait_cancel(TAKE(admission->wait));
    }
}

static void on_done(enum limit_answer answer, const struct limit_verdict *verdict, void *arg)
{
    struct client_admission *admission = arg;
    admission->wait = NULL;
    admission->answer = answer;
    admission->verdict = *verdict;
    admission->is_decided = true;
    admission->on_decided(admission->arg);
}

enum limit_answer client_admission_take(struct client_admission *admission)
{
    if (admission->limits == NULL) {
        return LIMIT_ADMITTED;
    }
    if (!admission->is_decided) {
        admission->answer = limits_take(admission->limits, &admission->costs, &admission->verdict,
                                        &admission->wait, on_done, admission);
    }
    admission->is_decided = false;
    if (admission->answer != LIMIT_WAITS) {
        admission->refusals = admission->answer == LIMIT_ADMITTED ? 0 : admission->refusals + 1;
    }
    return admission->answer;
}

bool client_admission_is_flooded(const struct client_admission *admission)
{
    return admission->refusals > CLIENT_REFUSALS_MAX;
}
