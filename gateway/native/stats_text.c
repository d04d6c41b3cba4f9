#include "gateway/native/stats_text.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    NUMBER_SIZE = 32,
    MESSAGE_SIZE = 160,
    US_PER_MS = 1000,
    MILLI = 1000,
    WARN_PERMILLE = 900,
    CRITICAL_PERMILLE = 950,
    CPU_WARN_PERMILLE = 900,
};

/* One violation, found by the table below. count is how often; 0: it holds now. */
struct violation {
    const char *type;
    const char *level; /* NULL: there is none */
    int64_t count;
    char message[MESSAGE_SIZE];
    const char *advice;
};

static void write_known(struct json_writer *writer, const char *name, bool is_known, int64_t value)
{
    if (is_known) {
        json_int(writer, name, value);
    } else {
        json_null(writer, name);
    }
}

/* part / whole in thousandths; -1: not known. */
static int64_t permille(bool is_known, int64_t part, bool has_whole, int64_t whole)
{
    return is_known && has_whole && whole > 0 ? part * MILLI / whole : -1;
}

/* Thousandths as hundredths, with one decimal. */
static void write_percent(struct json_writer *writer, const char *name, int64_t value)
{
    char text[NUMBER_SIZE];
    if (value < 0) {
        json_null(writer, name);
        return;
    }
    (void)snprintf(text, sizeof text, "%" PRId64 ".%" PRId64, value / 10, value % 10);
    json_raw(writer, name, view_of(text));
}

static int64_t memory_permille(const struct agent_memory *memory)
{
    return permille(memory->has_bytes, memory->bytes, memory->has_limit, memory->limit_bytes);
}

static int64_t cpu_permille(const struct agent_cpu *cpu)
{
    return permille(cpu->has_now, cpu->now_milli, cpu->has_limit, cpu->limit_milli);
}

static int64_t disk_permille(const struct agent_disk *disk)
{
    return permille(disk->has_bytes, disk->bytes, disk->has_limit, disk->limit_bytes);
}

static void write_memory(struct json_writer *writer, const struct agent_memory *memory)
{
    json_begin_object(writer, "memory");
    write_known(writer, "usage", memory->has_bytes, memory->bytes);
    write_known(writer, "limit", memory->has_limit, memory->limit_bytes);
    write_percent(writer, "percent", memory_permille(memory));
    write_known(writer, "peak", memory->has_peak, memory->peak_bytes);
    json_end_object(writer);
}

static void write_cpu(struct json_writer *writer, const struct agent_cpu *cpu)
{
    json_begin_object(writer, "cpu");
    write_percent(writer, "percent", cpu->has_now ? cpu->now_milli : -1);
    write_percent(writer, "limitPercent", cpu->has_limit ? cpu->limit_milli : -1);
    write_known(writer, "usageMs", cpu->has_us, cpu->us / US_PER_MS);
    write_known(writer, "throttledMs", cpu->has_throttled, cpu->throttled_us / US_PER_MS);
    json_end_object(writer);
}

static void write_stats(struct json_writer *writer, const struct agent_usage *usage)
{
    char at[CLOCK_ISO_SIZE] = "";
    json_begin_object(writer, "stats");
    write_memory(writer, &usage->memory);
    write_cpu(writer, &usage->cpu);
    json_begin_object(writer, "network");
    write_known(writer, "rx_bytes", usage->network.has_received, usage->network.received_bytes);
    write_known(writer, "tx_bytes", usage->network.has_sent, usage->network.sent_bytes);
    json_end_object(writer);
    json_begin_object(writer, "disk");
    write_known(writer, "usage", usage->disk.has_bytes, usage->disk.bytes);
    write_known(writer, "limit", usage->disk.has_limit, usage->disk.limit_bytes);
    json_end_object(writer);
    json_begin_object(writer, "pids");
    write_known(writer, "current", usage->pids.has_count, usage->pids.count);
    write_known(writer, "limit", usage->pids.has_limit, usage->pids.limit);
    json_end_object(writer);
    if (usage->has_at) {
        clock_format_iso(usage->at_ms, at);
    }
    json_string_or_null(writer, "timestamp", at);
    json_end_object(writer);
}

static const char *level_of(int64_t permille_used)
{
    if (permille_used >= CRITICAL_PERMILLE) {
        return "critical";
    }
    return permille_used >= WARN_PERMILLE ? "warning" : NULL;
}

static void find_oom(const struct agent_usage *usage, struct violation *out)
{
    int64_t kills = usage->memory.has_oom_kills ? usage->memory.oom_kills : 0;
    out->level = kills > 0 ? "critical" : NULL;
    out->count = kills;
    (void)snprintf(out->message, sizeof out->message,
                   "The kernel killed %" PRId64 " processes for want of memory.", kills);
}

static void find_memory(const struct agent_usage *usage, struct violation *out)
{
    int64_t used = memory_permille(&usage->memory);
    out->level = level_of(used);
    (void)snprintf(out->message, sizeof out->message, "%" PRId64 " %% of the memory is in use.",
                   used / 10);
}

static void find_pids(const struct agent_usage *usage, struct violation *out)
{
    int64_t refused = usage->pids.has_refused ? usage->pids.refused : 0;
    out->level = refused > 0 ? "critical" : NULL;
    out->count = refused;
    (void)snprintf(out->message, sizeof out->message,
                   "%" PRId64 " times a process could not be started: there were too many.",
                   refused);
}

static void find_disk(const struct agent_usage *usage, struct violation *out)
{
    int64_t used = disk_permille(&usage->disk);
    out->level = level_of(used);
    (void)snprintf(out->message, sizeof out->message, "%" PRId64 " %% of the disk is in use.",
                   used / 10);
}

static void find_cpu(const struct agent_usage *usage, struct violation *out)
{
    int64_t used = cpu_permille(&usage->cpu);
    out->level = used >= CPU_WARN_PERMILLE ? "warning" : NULL;
    (void)snprintf(out->message, sizeof out->message,
                   "%" PRId64 " %% of the processor time that it may have is in use.", used / 10);
}

static const struct rule {
    const char *type;
    void (*find)(const struct agent_usage *usage, struct violation *out);
    const char *advice;
} rules[] = {
    {"oom", find_oom, "Let fewer processes run at a time, or ask for more memory."},
    {"memory", find_memory, "Free memory, or ask for more of it, before something is killed."},
    {"pids", find_pids, "Wait for processes that have ended, and start fewer at a time."},
    {"disk", find_disk, "Remove files that are not needed; at the limit the sandbox ends."},
    {"cpu", find_cpu,
     "Expect what runs to take longer; ask for more processors where it must not."},
};
enum { RULES = sizeof rules / sizeof rules[0] };

static void write_violation(struct json_writer *writer, const struct violation *violation)
{
    json_begin_object(writer, NULL);
    json_string(writer, "type", view_of(violation->type));
    json_string(writer, "level", view_of(violation->level));
    json_string(writer, "message", view_of(violation->message));
    if (violation->count > 0) {
        json_int(writer, "count", violation->count);
    }
    json_end_object(writer);
}

static void write_violations(struct json_writer *writer, const struct agent_usage *usage)
{
    struct violation found[RULES] = {0};
    json_begin_array(writer, "violations");
    for (size_t i = 0; i < RULES; i++) {
        found[i].type = rules[i].type;
        found[i].advice = rules[i].advice;
        rules[i].find(usage, &found[i]);
        if (found[i].level != NULL) {
            write_violation(writer, &found[i]);
        }
    }
    json_end_array(writer);
    json_begin_array(writer, "recommendations");
    for (size_t i = 0; i < RULES; i++) {
        if (found[i].level != NULL) {
            json_string(writer, NULL, view_of(found[i].advice));
        }
    }
    json_end_array(writer);
}

void stats_text_write(const struct sandbox_meta *sandbox, const struct agent_usage *usage,
                      struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "sandboxId", view_of(sandbox->id));
    write_stats(&writer, usage);
    resource_limits_write(&writer, "resourceLimits", &sandbox->limits);
    write_violations(&writer, usage);
    json_string(&writer, "tier", view_of(sandbox->tier));
    json_end_object(&writer);
}
