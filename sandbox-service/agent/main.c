#include "common/base/log.h"
#include "common/contracts/agent.h"
#include "sandbox-service/agent/chore.h"
#include "sandbox-service/agent/dial.h"
#include "sandbox-service/agent/harden.h"
#include "sandbox-service/agent/link.h"
#include "sandbox-service/agent/load.h"
#include "sandbox-service/agent/once.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/session.h"
#include "sandbox-service/agent/starter.h"
#include "sandbox-service/agent/stream.h"
#include "sandbox-service/agent/transfer.h"
#include "sandbox-service/agent/tree.h"
#include "sandbox-service/agent/trim.h"
#include "sandbox-service/agent/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct agent {
    struct settings settings;
    struct processes *processes; /* owned */
    struct onces *onces;         /* owned */
    struct link *link;           /* owned */
    struct streams *streams;     /* owned */
    struct sessions *sessions;   /* owned */
    struct starter *starter;     /* owned */
    struct chores *chores;       /* owned */
    struct dials *dials;         /* owned */
    struct transfers *transfers; /* owned */
    struct trees *trees;         /* owned */
    struct watches *watches;     /* owned */
    struct load load;
    struct requests requests;
    bool is_configured; /* by whoever is at the other end of the connection that stands now */
    bool told_running;  /* on that: that commands run */
};

/* The gateway wants to know whether commands run, not how often they come and go. */
static void tell_running(struct agent *agent, size_t count)
{
    char text[64];
    int length =
        snprintf(text, sizeof text, "{\"type\":\"" AGENT_RUNNING "\",\"count\":%zu}", count);
    agent->told_running = count > 0;
    link_send(agent->link, link_epoch(agent->link), (struct view){text, (size_t)length});
}

static void on_running(size_t count, void *arg)
{
    struct agent *agent = arg;
    if (agent->is_configured && agent->told_running != (count > 0)) {
        tell_running(agent, count);
    }
}

/* A new connection knows nothing. */
static void on_configured(void *arg)
{
    struct agent *agent = arg;
    agent->is_configured = true;
    agent->told_running = false;
    on_running(processes_running(agent->processes), agent);
}

static void on_text(struct view text, void *arg)
{
    struct agent *agent = arg;
    requests_handle(&agent->requests, link_epoch(agent->link), text);
}

static bool on_binary(struct view message, void *arg)
{
    struct agent *agent = arg;
    return streams_on_message(agent->streams, link_epoch(agent->link), message);
}

static void send_reply(void *arg, uint64_t epoch, struct view text)
{
    struct agent *agent = arg;
    link_send(agent->link, epoch, text);
    if (link_is_congested(agent->link)) {
        processes_hold(agent->processes, true);
    }
}

static void on_drained(void *arg)
{
    struct agent *agent = arg;
    processes_hold(agent->processes, false);
    streams_on_drained(agent->streams);
}

static void on_lost(void *arg)
{
    struct agent *agent = arg;
    agent->is_configured = false;
    streams_on_lost(agent->streams);
    processes_hold(agent->processes, false);
}

static const struct link_events link_events = {on_text, on_binary, on_drained, on_lost};

static void send_frame(void *arg, uint64_t epoch, struct view header, struct view payload)
{
    struct agent *agent = arg;
    link_send_binary(agent->link, epoch, header, payload);
}

static bool has_room(void *arg)
{
    const struct agent *agent = arg;
    return !link_is_congested(agent->link);
}

static bool set_token(void *arg, struct view token)
{
    struct agent *agent = arg;
    return link_set_token(agent->link, token);
}

static bool read_sandbox_id(char *const *entries, char out[ID_SIZE], struct err *err)
{
    static const char prefix[] = AGENT_ENV_SANDBOX_ID "=";
    for (; *entries != NULL; entries++) {
        if (strncmp(*entries, prefix, sizeof prefix - 1) == 0) {
            return id_parse(view_of(*entries + sizeof prefix - 1), out) ||
                   err_set(err, ERR_INVALID, AGENT_ENV_SANDBOX_ID " is no id");
        }
    }
    return err_set(err, ERR_INVALID, AGENT_ENV_SANDBOX_ID " is not set");
}

/* Files and ports: what works on streams and in slices. */
static bool open_file_work(struct agent *agent, struct loop *loop, struct err *err)
{
    agent->chores = chores_new(loop, err);
    if (agent->chores == NULL) {
        return false;
    }
    agent->trees = trees_new(agent->chores, err);
    agent->dials = agent->trees == NULL ? NULL : dials_new(loop, agent->streams, err);
    agent->transfers =
        agent->dials == NULL ? NULL : transfers_new(agent->chores, agent->streams, err);
    agent->watches =
        agent->transfers == NULL ? NULL : watches_new(agent->chores, agent->streams, err);
    return agent->watches != NULL;
}

static bool open_agent(struct agent *agent, struct loop *loop, char *const *entries,
                       struct err *err)
{
    char sandbox_id[ID_SIZE];
    if (!read_sandbox_id(entries, sandbox_id, err) ||
        !settings_open(&agent->settings, entries, err)) {
        return false;
    }
    const struct streams_link streams_link = {send_frame, has_room, agent};
    agent->processes = processes_new(loop, err);
    agent->onces = agent->processes == NULL ? NULL : onces_new(loop, err);
    agent->streams = agent->onces == NULL ? NULL : streams_new(loop, &streams_link, err);
    if (agent->streams == NULL || !open_file_work(agent, loop, err)) {
        return false;
    }
    agent->sessions = sessions_new(loop, &agent->settings, agent->processes, agent->streams, err);
    agent->starter =
        agent->sessions == NULL ? NULL : starter_new(loop, &agent->settings, agent->processes, err);
    if (agent->starter == NULL) {
        return false;
    }
    agent->link = link_new(loop, AGENT_RUN_DIR, sandbox_id, &link_events, agent, err);
    if (agent->link == NULL) {
        return false;
    }
    agent->requests = (struct requests){
        .settings = &agent->settings,
        .processes = agent->processes,
        .onces = agent->onces,
        .sessions = agent->sessions,
        .streams = agent->streams,
        .trees = agent->trees,
        .watches = agent->watches,
        .dials = agent->dials,
        .transfers = agent->transfers,
        .starter = agent->starter,
        .load = &agent->load,
        .send = send_reply,
        .set_token = set_token,
        .on_configured = on_configured,
        .arg = agent,
    };
    processes_watch_running(agent->processes, on_running, agent);
    return true;
}

/* The arguments are the container's environment (launcher.c). They are wiped once they are read:
 * anyone in the container may look at a command line. */
static void wipe_arguments(char **arguments)
{
    for (; *arguments != NULL; arguments++) {
        memset(*arguments, 0, strlen(*arguments));
    }
}

int main(int argc, char **argv)
{
    struct err err;
    struct agent agent = {.link = NULL};
    char **arguments = argc > 0 ? argv + 1 : argv;
    log_open("agent", LOG_INFO);
    struct loop *loop = harden(&err) ? loop_new(&err) : NULL;
    bool opened = loop != NULL && open_agent(&agent, loop, arguments, &err);
    wipe_arguments(arguments);
    if (opened) {
        trim_program();
        loop_run(loop);
    } else {
        log_error("agent.failed", LOG_ERR(&err));
    }
    streams_free(agent.streams);
    dials_free(agent.dials);
    chores_free(agent.chores);
    transfers_free(agent.transfers);
    trees_free(agent.trees);
    watches_free(agent.watches);
    link_free(agent.link);
    sessions_free(agent.sessions);
    starter_free(agent.starter);
    processes_free(agent.processes);
    onces_free(agent.onces);
    settings_close(&agent.settings);
    loop_free(loop);
    return opened ? EXIT_SUCCESS : EXIT_FAILURE;
}
