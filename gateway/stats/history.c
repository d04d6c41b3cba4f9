#include "gateway/stats/history.h"

#include "common/base/log.h"
#include "common/contracts/agent_stats.h"
#include "common/json/scan.h"
#include "common/json/write.h"
#include "common/redis/redis.h"
#include "gateway/config.h"
#include "gateway/gateway.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_SIZE = 128, NUMBER_SIZE = 24, REDIS_MS = 1000, TEN = 10, US_PER_MS = 1000 };

/* KEYS: the list, the disk that was measured. ARGV: the sample, how many are kept, how long after
 * the last one. */
static const char add_script[] = "local sample, disk = ARGV[1], redis.call('GET', KEYS[2]) "
                                 "if disk and tonumber(disk) then "
                                 "sample = sample:gsub('\"disk\":null', '\"disk\":' .. disk) end "
                                 "redis.call('RPUSH', KEYS[1], sample) "
                                 "redis.call('LTRIM', KEYS[1], -ARGV[2], -1) "
                                 "redis.call('PEXPIRE', KEYS[1], ARGV[3])";

/* KEYS: the same. */
static const char recent_script[] = "return {redis.call('LRANGE', KEYS[1], -1, -1), "
                                    "tonumber(redis.call('GET', KEYS[2]) or -1) or -1}";

struct stats_history {
    const struct gateway *gateway; /* borrowed */
    struct redis *redis;           /* owned */
    size_t writes;                 /* unanswered */
};

struct stats_look {
    struct stats_history *history; /* borrowed */
    stats_looked_fn *done;
    stats_recent_fn *done_recent; /* of the other kind of look */
    void *arg;
};

struct stats_history *stats_history_open(const struct gateway *gateway, struct err *err)
{
    struct stats_history *history = calloc(1, sizeof *history);
    if (history == NULL) {
        err_set(err, ERR_INTERNAL, "history of stats: out of memory");
        return NULL;
    }
    history->gateway = gateway;
    history->redis = redis_open(gateway->loop, gateway->config->redis_url, err);
    if (history->redis == NULL) {
        stats_history_close(history);
        return NULL;
    }
    return history;
}

void stats_history_close(struct stats_history *history)
{
    if (history == NULL) {
        return;
    }
    if (history->redis != NULL) {
        redis_close(history->redis);
    }
    free(history);
}

static void write_known(struct json_writer *writer, const char *name, bool is_known, int64_t value)
{
    if (is_known) {
        json_int(writer, name, value);
    } else {
        json_null(writer, name);
    }
}

/* Thousandths of a processor as hundredths, with one decimal. */
static void write_percent(struct json_writer *writer, const struct agent_cpu *cpu)
{
    char text[NUMBER_SIZE];
    if (!cpu->has_now) {
        json_null(writer, "cpuPercent");
        return;
    }
    (void)snprintf(text, sizeof text, "%" PRId64 ".%" PRId64, cpu->now_milli / TEN,
                   cpu->now_milli % TEN);
    json_raw(writer, "cpuPercent", view_of(text));
}

void stats_sample_write(const struct agent_usage *usage, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    write_known(&writer, "at", usage->has_at, usage->at_ms);
    write_known(&writer, "memory", usage->memory.has_bytes, usage->memory.bytes);
    write_known(&writer, "cpuMs", usage->cpu.has_us, usage->cpu.us / US_PER_MS);
    write_percent(&writer, &usage->cpu);
    write_known(&writer, "rx", usage->network.has_received, usage->network.received_bytes);
    write_known(&writer, "tx", usage->network.has_sent, usage->network.sent_bytes);
    write_known(&writer, "pids", usage->pids.has_count, usage->pids.count);
    write_known(&writer, "disk", usage->disk.has_bytes, usage->disk.bytes);
    json_end_object(&writer);
}

struct sample {
    int64_t at_ms;
    bool has_at;
    int64_t memory;
    bool has_memory;
    int64_t cpu_ms;
    bool has_cpu;
    int64_t received;
    bool has_received;
    int64_t sent;
    bool has_sent;
    int64_t pids;
    bool has_pids;
    int64_t disk;
    bool has_disk;
};

#define KNOWN(member, has_member, name)                                                            \
    JSON_INT(struct sample, member, name, .nullable = true, JSON_PRESENT(struct sample, has_member))
static const struct json_field sample_fields[] = {
    KNOWN(at_ms, has_at, "at"),      KNOWN(memory, has_memory, "memory"),
    KNOWN(cpu_ms, has_cpu, "cpuMs"), KNOWN(received, has_received, "rx"),
    KNOWN(sent, has_sent, "tx"),     KNOWN(pids, has_pids, "pids"),
    KNOWN(disk, has_disk, "disk"),
};

void stats_sample_read(struct view sample, struct agent_usage *out)
{
    struct sample read;
    struct err ignored = {0};
    const struct json_schema schema = JSON_SCHEMA(sample_fields);
    *out = (struct agent_usage){0};
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(sample, &schema, &read, NULL, &ignored);
    if (doc == NULL) {
        return;
    }
    *out = (struct agent_usage){
        .at_ms = read.at_ms,
        .has_at = read.has_at,
        .memory = {.bytes = read.memory, .has_bytes = read.has_memory},
        .cpu = {.us = read.cpu_ms * US_PER_MS, .has_us = read.has_cpu},
        .network = {.received_bytes = read.received,
                    .has_received = read.has_received,
                    .sent_bytes = read.sent,
                    .has_sent = read.has_sent},
        .pids = {.count = read.pids, .has_count = read.has_pids},
        .disk = {.bytes = read.disk, .has_bytes = read.has_disk},
    };
}

static void on_added(const redisReply *reply, const struct err *err, void *arg)
{
    struct stats_history *history = arg;
    (void)reply;
    history->writes--;
    if (err != NULL) {
        log_debug("stats.unwritten", LOG_ERR(err));
    }
}

/* kind: stats or disk. */
static struct view write_key(const struct stats_history *history, const char *kind,
                             const char *sandbox_id, char out[KEY_SIZE])
{
    int length = snprintf(out, KEY_SIZE, "insien:%s:%s:%s", history->gateway->config->instance,
                          kind, sandbox_id);
    return (struct view){out, (size_t)length};
}

void stats_history_add(struct stats_history *history, const char sandbox_id[ID_SIZE],
                       const struct agent_usage *usage)
{
    char key[KEY_SIZE];
    char disk_key[KEY_SIZE];
    char kept[NUMBER_SIZE];
    char life_ms[NUMBER_SIZE];
    struct err err = {0};
    AUTO(str_free) struct str sample = STR_INIT(STATS_SAMPLE_MAX);
    stats_sample_write(usage, &sample);
    (void)snprintf(kept, sizeof kept, "%d", STATS_SAMPLES_MAX);
    (void)snprintf(life_ms, sizeof life_ms, "%d", STATS_KEPT_MS);
    const struct view words[] = {VIEW("EVAL"),
                                 view_of(add_script),
                                 VIEW("2"),
                                 write_key(history, "stats", sandbox_id, key),
                                 write_key(history, "disk", sandbox_id, disk_key),
                                 str_view(&sample),
                                 view_of(kept),
                                 view_of(life_ms)};
    if (sample.failed || history->writes >= STATS_WRITES_MAX) {
        return;
    }
    if (redis_send(history->redis, words, sizeof words / sizeof words[0], REDIS_MS, on_added,
                   history, &err)) {
        history->writes++;
    }
}

/* What is no JSON is not ours and is left out. */
static void write_samples(const redisReply *reply, struct str *out)
{
    size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    bool is_first = true;
    str_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        const redisReply *item = reply->element[i];
        struct err ignored = {0};
        struct view text = {item->str, item->type == REDIS_REPLY_STRING ? item->len : 0};
        if (text.len > 0 && text.len <= STATS_SAMPLE_MAX && json_scan(text, NULL, NULL, &ignored)) {
            str_append_string(out, is_first ? "" : ",");
            str_append_view(out, text);
            is_first = false;
        }
    }
    str_append_char(out, ']');
}

static void on_looked(const redisReply *reply, const struct err *err, void *arg)
{
    struct stats_look *look = arg;
    struct err failure = {0};
    AUTO(str_free) struct str samples = STR_INIT(STATS_HISTORY_MAX);
    if (err == NULL) {
        write_samples(reply, &samples);
    }
    const struct view text = str_view(&samples);
    bool is_told = err == NULL && str_check(&samples, "history of stats", &failure);
    look->done(is_told ? &text : NULL, is_told ? NULL : (err != NULL ? err : &failure), look->arg);
    free(look);
}

struct stats_look *stats_look_begin(struct stats_history *history, const char sandbox_id[ID_SIZE],
                                    int64_t count, stats_looked_fn *done, void *arg,
                                    struct err *err)
{
    char key[KEY_SIZE];
    char from[NUMBER_SIZE];
    struct stats_look *look = calloc(1, sizeof *look);
    if (look == NULL) {
        err_set(err, ERR_INTERNAL, "history of stats: out of memory");
        return NULL;
    }
    *look = (struct stats_look){.history = history, .done = done, .arg = arg};
    (void)snprintf(from, sizeof from, "-%" PRId64, count);
    const struct view words[] = {VIEW("LRANGE"), write_key(history, "stats", sandbox_id, key),
                                 view_of(from), VIEW("-1")};
    if (!redis_send(history->redis, words, sizeof words / sizeof words[0], REDIS_MS, on_looked,
                    look, err)) {
        free(look);
        return NULL;
    }
    return look;
}

static struct view text_of(const redisReply *reply)
{
    bool is_text = reply != NULL && reply->type == REDIS_REPLY_STRING;
    return (struct view){is_text ? reply->str : NULL, is_text ? reply->len : 0};
}

static void on_recent(const redisReply *reply, const struct err *err, void *arg)
{
    struct stats_look *look = arg;
    struct agent_usage usage = {0};
    bool is_pair = err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (is_pair && reply->element[0]->type == REDIS_REPLY_ARRAY &&
        reply->element[0]->elements == 1) {
        stats_sample_read(text_of(reply->element[0]->element[0]), &usage);
    }
    if (is_pair && reply->element[1]->type == REDIS_REPLY_INTEGER &&
        reply->element[1]->integer >= 0) {
        usage.disk.bytes = reply->element[1]->integer;
        usage.disk.has_bytes = true;
    }
    look->done_recent(&usage, look->arg);
    free(look);
}

struct stats_look *stats_recent_begin(struct stats_history *history, const char sandbox_id[ID_SIZE],
                                      stats_recent_fn *done, void *arg, struct err *err)
{
    char key[KEY_SIZE];
    char disk_key[KEY_SIZE];
    struct stats_look *look = history == NULL ? NULL : calloc(1, sizeof *look);
    if (look == NULL) {
        err_set(err, ERR_INTERNAL, "recent stats: out of memory, or not kept");
        return NULL;
    }
    *look = (struct stats_look){.history = history, .done_recent = done, .arg = arg};
    const struct view words[] = {VIEW("EVAL"), view_of(recent_script), VIEW("2"),
                                 write_key(history, "stats", sandbox_id, key),
                                 write_key(history, "disk", sandbox_id, disk_key)};
    if (!redis_send(history->redis, words, sizeof words / sizeof words[0], REDIS_MS, on_recent,
                    look, err)) {
        free(look);
        return NULL;
    }
    return look;
}

void stats_look_cancel(struct stats_look *look)
{
    redis_cancel(look->history->redis, look);
    free(look);
}
