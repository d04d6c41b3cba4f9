/* What it costs the gateway to know a key that it has seen before: from the header's text to the
 * caller. Prints one line of JSON. The auth-service is played by a server on the same loop. */
#include "common/base/secret.h"
#include "common/event/loop.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/cache/key_cache.h"
#include "tests/support/folder.h"

#include <stdio.h>
#include <time.h>

enum {
    KEYS = 1000,   /* that are remembered */
    ROUNDS = 1000, /* over all of them */
    URL_SIZE = FOLDER_PATH_SIZE + 32,
    NS_PER_S = 1000 * 1000 * 1000,
};

struct bench {
    struct loop *loop;
    struct ipc_server *server;
    struct ipc_client *client;
    struct key_cache *cache;
    char folder[FOLDER_PATH_SIZE];
    int asked;
    int known;
};

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct bench *bench = arg;
    char reply[512];
    (void)request;
    (void)snprintf(reply, sizeof reply,
                   "{\"userId\":\"11111111-1111-4111-8111-111111111111\","
                   "\"apiKeyId\":\"22222222-2222-4222-8222-%012d\",\"tier\":\"pro\","
                   "\"expiresAtMs\":0,\"scopes\":31,\"maxSandboxes\":0,\"requestsPerMinute\":0}",
                   bench->asked++);
    ipc_reply_ok(exchange, view_of(reply));
}

static const struct ipc_method methods[] = {{AUTH_CHECK_KEY, serve}};

static void on_checked(const struct caller *caller, const struct err *err, void *arg)
{
    struct bench *bench = arg;
    bench->known += caller != NULL && err == NULL ? 1 : 0;
}

/* The text of the key of that number. */
static void write_key(int number, char out[API_KEY_SIZE])
{
    (void)snprintf(out, API_KEY_SIZE, "isk_%064x", (unsigned)number);
}

static bool open_bench(struct bench *bench, struct err *err)
{
    char url[URL_SIZE];
    folder_make(bench->folder);
    (void)snprintf(url, sizeof url, "ipc://%s/auth.sock", bench->folder);
    return (bench->loop = loop_new(err)) != NULL &&
           (bench->server = ipc_server_open(bench->loop, url, (uid_t)-1, methods, 1, bench, err)) !=
               NULL &&
           (bench->client = ipc_client_open(bench->loop, url, "auth-service", err)) != NULL &&
           (bench->cache = key_cache_new(bench->client, err)) != NULL;
}

/* Asks for each key once, one after the other. */
static bool warm(struct bench *bench, struct err *err)
{
    key_cache_set_trusted(bench->cache, true);
    for (int i = 0; i < KEYS; i++) {
        struct credential credential = {.key = ""};
        write_key(i, credential.key);
        if (key_check_begin(bench->cache, &credential, NULL, on_checked, bench, err) == NULL) {
            return false;
        }
        while (bench->known <= i) {
            if (event_base_loop(loop_base(bench->loop), EVLOOP_ONCE) != 0) {
                return err_set(err, ERR_INTERNAL, "the loop does not turn");
            }
        }
    }
    return true;
}

static int64_t cpu_ns(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Nanoseconds of CPU a look; those that found nothing are counted in *missed. */
static double measure(struct bench *bench, int *missed)
{
    static char texts[KEYS][API_KEY_SIZE];
    struct caller caller;
    for (int i = 0; i < KEYS; i++) {
        write_key(i, texts[i]);
    }
    int64_t began_ns = cpu_ns();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < KEYS; i++) {
            struct credential credential = {.key = ""};
            bool found = api_key_normalise(view_of(texts[i]), credential.key) &&
                         key_cache_find(bench->cache, &credential, &caller);
            *missed += found ? 0 : 1;
            secret_wipe(&credential, sizeof credential);
        }
    }
    return (double)(cpu_ns() - began_ns) / ((double)ROUNDS * KEYS);
}

static void close_bench(struct bench *bench)
{
    key_cache_free(bench->cache);
    ipc_client_close(bench->client);
    ipc_server_close(bench->server);
    loop_free(bench->loop);
    folder_remove(bench->folder);
}

int main(void)
{
    struct bench bench = {0};
    struct err err = {0};
    int missed = 0;
    bool ok = open_bench(&bench, &err) && warm(&bench, &err);
    if (ok) {
        double look_ns = measure(&bench, &missed);
        printf("{\"keys\":%d,\"lookNs\":%.0f,\"missed\":%d}\n", KEYS, look_ns, missed);
    } else {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    close_bench(&bench);
    return ok ? 0 : 1;
}
