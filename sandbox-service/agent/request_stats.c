/* stats: what the whole sandbox uses, in one answer that costs a dozen small reads. */
#include "common/base/clock.h"
#include "common/contracts/agent_stats.h"
#include "sandbox-service/agent/cgroup.h"
#include "sandbox-service/agent/load.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/traffic.h"

static void set(int64_t *member, bool *has, int64_t value)
{
    *member = value;
    *has = value >= 0;
}

static void fill_memory(struct agent_memory *out, const struct cgroup_usage *group)
{
    set(&out->bytes, &out->has_bytes, group->memory_bytes);
    set(&out->limit_bytes, &out->has_limit, group->memory_limit_bytes);
    set(&out->peak_bytes, &out->has_peak, group->memory_peak_bytes);
    set(&out->oom_kills, &out->has_oom_kills, group->oom_kills);
}

static void fill_cpu(struct agent_cpu *out, const struct cgroup_usage *group, struct load *load)
{
    int64_t now_milli = load_take(load, clock_monotonic_us(), group->cpu_us);
    set(&out->us, &out->has_us, group->cpu_us);
    set(&out->now_milli, &out->has_now, now_milli);
    set(&out->limit_milli, &out->has_limit, group->cpu_limit_milli);
    set(&out->throttled_us, &out->has_throttled, group->cpu_throttled_us);
}

static void fill_pids(struct agent_pids *out, const struct cgroup_usage *group)
{
    set(&out->count, &out->has_count, group->pids);
    set(&out->limit, &out->has_limit, group->pids_limit);
    set(&out->refused, &out->has_refused, group->pids_refused);
}

static void fill_network(struct agent_network *out)
{
    struct traffic traffic;
    out->has_received = out->has_sent = traffic_read(&traffic);
    if (out->has_sent) {
        out->received_bytes = traffic.received_bytes;
        out->sent_bytes = traffic.sent_bytes;
    }
}

void request_stats(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_stats request;
    struct cgroup_usage group;
    struct str out;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_stats_schema, &request);
    if (doc == NULL) {
        return;
    }
    struct agent_usage usage = {.at_ms = clock_wall_ms(), .has_at = true};
    cgroup_read(CGROUP_ROOT, &group);
    fill_memory(&usage.memory, &group);
    fill_cpu(&usage.cpu, &group, requests->load);
    fill_pids(&usage.pids, &group);
    fill_network(&usage.network);
    struct json_writer writer = reply_begin(reply, &out, "statsResponse");
    json_struct(&writer, &agent_usage_schema, &usage);
    reply_end(reply, &writer);
}
