#include "gateway/limits/lease.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(LEASE_KEPT_MS * 1000 > BUCKET_LEASE_US, "tokens in use are kept in mind");

/* Numbers are exact: the largest is below 2^53. The hash lives until it would be full and hold no
 * gateway's tokens, which is what a hash that is not there means. */
static const char script[] =
    "local gateway, rate, token = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])\n"
    "local burst, wanted = tonumber(ARGV[3]) * token, tonumber(ARGV[5])\n"
    "local waiting, kept, returned = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])\n"
    "local time = redis.call('TIME')\n"
    "local now = tonumber(time[1]) * 1000000 + tonumber(time[2])\n"
    "local until_then = now + tonumber(ARGV[9])\n"
    "local units, at, own, others, last = burst, now, 0, 0, now\n"
    "local fields = redis.call('HGETALL', KEYS[1])\n"
    "for i = 1, #fields, 2 do\n"
    "  local field, value = fields[i], fields[i + 1]\n"
    "  if field == 'units' then units = tonumber(value)\n"
    "  elseif field == 'at' then at = tonumber(value)\n"
    "  else\n"
    "    local amount, ends = string.match(value, '^(%d+) (%d+)$')\n"
    "    amount, ends = tonumber(amount), tonumber(ends)\n"
    "    if ends <= now then redis.call('HDEL', KEYS[1], field)\n"
    "    elseif field == gateway then own = amount\n"
    "    else others, last = others + amount, math.max(last, ends) end\n"
    "  end\n"
    "end\n"
    "local function room(held) return math.max(0, burst - held * token) end\n"
    "units = math.min(units + math.max(0, now - at) * rate, room(others + own))\n"
    "returned = math.min(returned, math.max(0, own - kept))\n"
    "units = math.min(units + returned * token, room(others + kept))\n"
    "local granted = math.min(wanted, math.floor(units / token))\n"
    "units = units - granted * token\n"
    "local held = kept + math.max(0, granted - waiting)\n"
    "if held > 0 then\n"
    "  last = until_then\n"
    "  redis.call('HSET', KEYS[1], gateway, string.format('%.0f %.0f', held, until_then))\n"
    "else redis.call('HDEL', KEYS[1], gateway) end\n"
    "redis.call('HSET', KEYS[1], 'units', string.format('%.0f', units),\n"
    "           'at', string.format('%.0f', now))\n"
    "local life_us = math.max(last - now, (burst - units) / rate)\n"
    "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(life_us / 1000) + 1))\n"
    "return {granted, units}\n";

enum { NUMBER_SIZE = 16, NUMBERS = 8, WORDS_BEFORE = 5 };

bool lease_send(struct redis *redis, const struct lease *lease, int64_t timeout_ms,
                redis_reply_fn *done, void *arg, struct err *err)
{
    const struct bucket_order *order = lease->order;
    const int32_t numbers[NUMBERS] = {
        lease->rate.per_minute, lease->rate.burst, BUCKET_TOKEN,    order->wanted,
        order->waiting,         order->kept,       order->returned, LEASE_KEPT_MS * 1000,
    };
    char text[NUMBERS][NUMBER_SIZE];
    struct view words[WORDS_BEFORE + NUMBERS] = {VIEW("EVAL"), VIEW(script), VIEW("1"),
                                                 view_of(lease->key), view_of(lease->gateway)};
    for (size_t i = 0; i < NUMBERS; i++) {
        (void)snprintf(text[i], sizeof text[i], "%" PRId32, numbers[i]);
        words[WORDS_BEFORE + i] = view_of(text[i]);
    }
    return redis_send(redis, words, sizeof words / sizeof words[0], timeout_ms, done, arg, err);
}

bool lease_read(const redisReply *reply, int32_t wanted, int32_t *granted, int64_t *units,
                struct err *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->type != REDIS_REPLY_INTEGER || reply->element[0]->integer < 0 ||
        reply->element[0]->integer > wanted || reply->element[1]->integer < 0) {
        return err_set(err, ERR_INTERNAL, "redis: a lease that is none");
    }
    *granted = (int32_t)reply->element[0]->integer;
    *units = reply->element[1]->integer;
    return true;
}
