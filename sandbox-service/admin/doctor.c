/* insien-doctor (`insien-admin doctor`): which protections this host lacks, what that means, and
 * what to do about it. Changes nothing. Exits with 0 when strangers' code may run here, 1 when
 * something says no, 2 when that could not be found out. Takes the right to talk to the engine. */
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/event/loop.h"
#include "sandbox-service/admin/findings.h"
#include "sandbox-service/docker/docker.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_SAFE, EXIT_UNSAFE, EXIT_NOT_DONE };
enum { CONNECTIONS = 2 };

#define SCHEME "unix://"

struct config {
    char docker_host[CONFIG_PATH_SIZE];
};

static const struct config_item items[] = {
    {"DOCKER_HOST", CONFIG_TEXT, CONFIG_CHARS(struct config, docker_host),
     .fallback = SCHEME "/var/run/docker.sock"},
};

struct examination {
    struct loop *loop;
    struct docker *docker;
    struct docker_call info;
    struct docker_call version;
    bool has_begun;
    struct facts facts;
    struct str text;
};

static void give_up(struct examination *examination, const struct err *err)
{
    (void)snprintf(examination->facts.engine.problem, sizeof examination->facts.engine.problem,
                   "%s", err->message);
    loop_stop(examination->loop);
}

static void on_version(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct examination *examination = arg;
    struct err failure = {0};
    if (!docker_succeeded(reply, err, "version", &failure) ||
        !facts_read_version(reply->body, &examination->facts.engine, &failure)) {
        give_up(examination, &failure);
        return;
    }
    examination->facts.engine.is_reachable = true;
    loop_stop(examination->loop);
}

static void on_info(const struct http_reply *reply, const struct err *err, void *arg)
{
    static const struct docker_request request = {.method = "GET", .path = "/version"};
    struct examination *examination = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "info", &failure) &&
        facts_read_info(reply->body, &examination->facts.engine, &failure)) {
        docker_send(examination->docker, &examination->version, &request, on_version, examination);
    } else {
        give_up(examination, &failure);
    }
}

static void on_state(bool up, void *arg)
{
    static const struct docker_request request = {.method = "GET", .path = "/info"};
    struct examination *examination = arg;
    struct err err = {0};
    if (up && !examination->has_begun) {
        examination->has_begun = true;
        docker_send(examination->docker, &examination->info, &request, on_info, examination);
    } else if (!up && !examination->has_begun) {
        err_set(&err, ERR_UNAVAILABLE, "nobody listens at its socket, or you may not connect");
        give_up(examination, &err);
    }
}

static void on_finding(const struct finding *finding, void *arg)
{
    finding_write(finding, arg);
}

static bool ask_engine(struct examination *examination, const char *socket_path, struct err *err)
{
    examination->loop = loop_new(err);
    examination->docker =
        examination->loop == NULL
            ? NULL
            : docker_open(examination->loop, socket_path, CONNECTIONS, on_state, examination, err);
    if (examination->docker != NULL) {
        loop_run(examination->loop);
        (void)docker_fail_all(examination->docker);
        docker_close(examination->docker);
    }
    bool is_asked = examination->docker != NULL;
    loop_free(examination->loop);
    return is_asked;
}

static int examine(const char *socket_path, struct err *err)
{
    struct examination examination = {.text = STR_INIT(FINDINGS_TEXT_MAX)};
    int status = EXIT_NOT_DONE;
    if (ask_engine(&examination, socket_path, err)) {
        facts_read_host("", &examination.facts.host);
        facts_read_mount("", examination.facts.engine.root_dir, &examination.facts.host);
        enum severity worst = findings_each(&examination.facts, on_finding, &examination.text);
        if (str_check(&examination.text, "the findings", err)) {
            status = worst == SEVERITY_BAD ? EXIT_UNSAFE : EXIT_SAFE;
            (void)fputs(examination.text.data, stdout);
        }
    }
    str_free(&examination.text);
    return status;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct err err = {0};
    int status = EXIT_NOT_DONE;
    log_open("insien-doctor", LOG_ERROR);
    (void)argv;
    if (argc > 1) {
        err_set(&err, ERR_INVALID, "usage: insien-admin doctor");
    } else if (config_read(items, sizeof items / sizeof items[0], &config, &err)) {
        if (view_starts_with(view_of(config.docker_host), VIEW(SCHEME "/"))) {
            status = examine(config.docker_host + sizeof SCHEME - 1, &err);
        } else {
            err_set(&err, ERR_INVALID, "DOCKER_HOST must be unix:///path/of/the/engine's.sock");
        }
    }
    if (status == EXIT_NOT_DONE) {
        (void)fprintf(stderr, "insien-doctor: %s\n", err.message);
    }
    return status;
}
