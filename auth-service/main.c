#include "auth-service/api_keys/expiry.h"
#include "auth-service/audit/sealer.h"
#include "auth-service/command.h"
#include "auth-service/database.h"
#include "auth-service/idempotency/keeper.h"
#include "auth-service/service.h"
#include "auth-service/users/eraser.h"
#include "auth-service/users/profiles.h"
#include "auth-service/users/session_watch.h"
#include "common/audit/writer.h"
#include "common/base/secret.h"
#include "common/ipc/tls.h"

#include <stdio.h>

enum {
    DATABASE_CONNECTIONS = 4,
    LIST_CONNECTIONS = 2, /* so that whoever has much to be listed keeps nobody from being known */
    HTTP_CONNECTIONS = 5, /* two key sets, a profile, a session, and one to spare */
    BCRYPT_QUEUE_MAX = 4 * WORKER_OWNER_MAX,
    DRAIN_MS = 5000,
    URL_SIZE = CONFIG_PATH_SIZE + 32,
};

/* All owned. */
struct program {
    struct settings settings;
    struct loop *loop;
    struct pg_pool *pg;
    struct pg_pool *lists;
    struct redis *redis;
    struct http_client *http;
    struct worker_pool *workers;
    struct profiles *profiles;
    struct session_watch *session_watch;
    struct sessions *sessions;
    struct webhooks *webhooks;
    struct client_token_key client_tokens;
    struct prover *prover;
    struct last_used *last_used;
    struct announcer *announcer;
    struct audit_writer *audit;
    struct audit_sealer *sealer;
    struct eraser *eraser;
    struct idempotency *idempotency;
    struct expiry *expiry;
    struct service *service;
    struct timer drain_timer;
};

static void on_drained(void *arg)
{
    struct program *program = arg;
    loop_stop(program->loop);
}

static void on_service_drained(void *arg)
{
    struct program *program = arg;
    audit_writer_drain(program->audit, on_drained, program);
}

static void on_stop_signal(void *arg)
{
    struct program *program = arg;
    timer_arm(&program->drain_timer, DRAIN_MS);
    service_drain(program->service, on_service_drained, program);
}

static bool open_database(struct program *program, struct err *err)
{
    const char *url = program->settings.database_url;
    program->pg = database_open(program->loop, url, DATABASE_CONNECTIONS, err);
    if (program->pg == NULL) {
        return false;
    }
    program->lists = database_open(program->loop, url, LIST_CONNECTIONS, err);
    return program->lists != NULL;
}

static bool open_outside(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    program->loop = loop_new(err);
    if (program->loop == NULL ||
        !loop_on_stop_signal(program->loop, on_stop_signal, program, err) ||
        !loop_on_reload_signal(program->loop, NULL, NULL, err) ||
        !timer_open(&program->drain_timer, program->loop, on_drained, program, err)) {
        return false;
    }
    if (!open_database(program, err)) {
        return false;
    }
    program->redis = redis_open(program->loop, settings->redis_url, err);
    if (program->redis == NULL) {
        return false;
    }
    program->http = http_client_open(program->loop, NULL, HTTP_CONNECTIONS, err);
    return program->http != NULL;
}

static bool open_audit(struct program *program, struct err *err)
{
    program->audit = audit_writer_open(program->loop, program->pg, "auth-service", err);
    program->sealer =
        program->audit == NULL ? NULL : audit_sealer_open(program->loop, program->pg, err);
    program->eraser = program->sealer == NULL ? NULL : eraser_open(program->loop, program->pg, err);
    return program->eraser != NULL;
}

static bool open_inside(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    program->workers =
        worker_pool_new(program->loop, (size_t)settings->bcrypt_workers, BCRYPT_QUEUE_MAX, err);
    if (program->workers == NULL) {
        return false;
    }
    const struct prover_options options = {.redis = program->redis,
                                           .workers = program->workers,
                                           .secret = view_of(settings->key_cache_secret),
                                           .instance = settings->instance};
    program->prover = prover_open(&options, err);
    program->last_used =
        program->prover == NULL ? NULL : last_used_open(program->loop, program->pg, err);
    program->announcer = program->last_used == NULL ? NULL
                                                    : announcer_open(program->loop, program->redis,
                                                                     settings->instance, err);
    program->expiry = program->announcer == NULL
                          ? NULL
                          : expiry_open(program->loop, program->pg, program->announcer, err);
    return program->expiry != NULL;
}

/* Without the secret key of the Backend API nobody is asked. */
static bool open_profiles(struct program *program, struct err *err)
{
    const struct clerk_settings *clerk = &program->settings.clerk;
    const struct profiles_options options = {.loop = program->loop,
                                             .pg = program->pg,
                                             .http = program->http,
                                             .announcer = program->announcer,
                                             .api_url = clerk->api_url,
                                             .secret_key = clerk->secret_key,
                                             .timing = profiles_default_timing};
    if (clerk->secret_key[0] == '\0') {
        return true;
    }
    program->profiles = profiles_open(&options, err);
    return program->profiles != NULL;
}

/* The same; nor when it is not wished for. */
static bool open_session_watch(struct program *program, struct err *err)
{
    enum { MS_IN_S = 1000 };
    const struct settings *settings = &program->settings;
    struct session_watch_options options = {.loop = program->loop,
                                            .redis = program->redis,
                                            .pg = program->pg,
                                            .http = program->http,
                                            .announcer = program->announcer,
                                            .audit = program->audit,
                                            .instance = settings->instance,
                                            .api_url = settings->clerk.api_url,
                                            .secret_key = settings->clerk.secret_key,
                                            .timing = session_watch_default_timing};
    if (settings->clerk.secret_key[0] == '\0' || settings->clerk_session_check_s == 0) {
        return true;
    }
    options.timing.interval_ms = settings->clerk_session_check_s * MS_IN_S;
    program->session_watch = session_watch_open(&options, err);
    return program->session_watch != NULL;
}

static bool open_identity(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    if (!open_profiles(program, err) || !open_session_watch(program, err)) {
        return false;
    }
    const struct sessions_options sessions = {.loop = program->loop,
                                              .pg = program->pg,
                                              .redis = program->redis,
                                              .http = program->http,
                                              .instance = settings->instance,
                                              .clerk = &settings->clerk,
                                              .oidc = &settings->oidc,
                                              .profiles = program->profiles};
    program->sessions = sessions_open(&sessions, err);
    if (program->sessions == NULL) {
        return false;
    }
    const struct webhooks_options webhooks = {.pg = program->pg,
                                              .redis = program->redis,
                                              .announcer = program->announcer,
                                              .audit = program->audit,
                                              .instance = settings->instance,
                                              .issuer = sessions_clerk_issuer(program->sessions),
                                              .secrets = settings->webhook_secrets};
    program->webhooks = webhooks_open(&webhooks, err);
    return program->webhooks != NULL &&
           client_token_key_derive(view_of(settings->key_cache_secret), settings->instance,
                                   &program->client_tokens, err);
}

static bool open_idempotency(struct program *program, struct err *err)
{
    program->idempotency = idempotency_open(program->loop, program->pg,
                                            view_of(program->settings.idempotency_secret), err);
    return program->idempotency != NULL;
}

static bool open_service(struct program *program, struct err *err)
{
    const struct settings *settings = &program->settings;
    const struct ipc_tls tls = {settings->ipc_ca, settings->ipc_certificate, settings->ipc_key,
                                "gateway"};
    char url[URL_SIZE];
    const struct service_parts parts = {
        .loop = program->loop,
        .pg = program->pg,
        .lists = program->lists,
        .redis = program->redis,
        .workers = program->workers,
        .instance = program->settings.instance,
        .audit = program->audit,
        .idempotency = program->idempotency,
        .sessions = program->sessions,
        .session_watch = program->session_watch,
        .webhooks = program->webhooks,
        .client_tokens = &program->client_tokens,
        .checker = {program->pg, program->prover, program->last_used},
        .revoker = {program->pg, program->announcer},
    };
    if (settings->listen[0] == '\0') {
        (void)snprintf(url, sizeof url, "ipc://%s/auth-1.sock", settings->run_dir);
    } else {
        (void)snprintf(url, sizeof url, "%s", settings->listen);
    }
    keys_announce_revoked_lately(&parts.revoker);
    program->service = service_open(&parts, url, &tls, err);
    if (program->service == NULL) {
        return false;
    }
    log_info("service.ready", LOG_STR("url", url), LOG_STR("version", INSIEN_VERSION));
    return true;
}

/* What is under way ends by the closing of what it waits for; what it works with goes last. */
static void close_all(struct program *program)
{
    service_close(program->service);
    if (program->prover != NULL) {
        prover_stop(program->prover);
    }
    sessions_stop(program->sessions);
    redis_close(program->redis);
    worker_pool_free(program->workers);
    audit_writer_stop(program->audit);
    pg_pool_close(program->pg);
    pg_pool_close(program->lists);
    audit_sealer_close(program->sealer);
    eraser_close(program->eraser);
    idempotency_close(program->idempotency);
    profiles_close(program->profiles);
    session_watch_close(program->session_watch);
    expiry_close(program->expiry);
    announcer_close(program->announcer);
    webhooks_close(program->webhooks);
    sessions_close(program->sessions);
    last_used_close(program->last_used);
    prover_close(program->prover);
    http_client_close(program->http);
    service_free(program->service);
    audit_writer_close(program->audit);
    timer_close(&program->drain_timer);
    loop_free(program->loop);
}

/* What the parts that are open have in their own memory. */
static void forget_secrets(struct settings *settings)
{
    secret_wipe(settings->database_url, sizeof settings->database_url);
    secret_wipe(settings->redis_url, sizeof settings->redis_url);
    secret_wipe(settings->webhook_secrets, sizeof settings->webhook_secrets);
}

static int run_service(struct program *program)
{
    struct err err;
    bool opened = open_outside(program, &err) && open_audit(program, &err) &&
                  open_inside(program, &err) && open_identity(program, &err) &&
                  open_idempotency(program, &err) && open_service(program, &err);
    forget_secrets(&program->settings);
    if (opened) {
        loop_run(program->loop);
        log_info("service.stopped");
    } else {
        log_error("service.not_started", LOG_ERR(&err));
    }
    close_all(program);
    return opened ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_command(char **arguments, int count, const struct settings *settings)
{
    struct command command;
    struct err err;
    if (!command_parse(arguments, count, &command, &err) ||
        !command_run(&command, settings, &err)) {
        (void)fprintf(stderr, "insien-auth: %s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct err err;
    bool is_command = argc > 1 && strcmp(argv[1], "issue-key") == 0;
    secret_protect_process();
    log_open("auth-service", is_command ? LOG_ERROR : LOG_INFO);
    if (argc > 1 && !is_command) {
        (void)fprintf(stderr, "insien-auth: the only command is issue-key\n");
        return EXIT_FAILURE;
    }
    if (!settings_read(&program.settings, &err)) {
        (void)fprintf(stderr, "insien-auth: %s\n", err.message);
        return EXIT_FAILURE;
    }
    settings_forget_environment();
    if (!is_command) {
        log_set_level(program.settings.log_level);
    }
    int status =
        is_command ? run_command(argv + 2, argc - 2, &program.settings) : run_service(&program);
    secret_wipe(&program.settings, sizeof program.settings);
    secret_wipe(&program.client_tokens, sizeof program.client_tokens);
    return status;
}
