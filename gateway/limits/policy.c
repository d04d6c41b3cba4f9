#include "gateway/limits/policy.h"

#include "gateway/http/syntax.h"

static const struct {
    struct view name;
    struct limit_rate rate;
} kinds[LIMIT_KINDS] = {
    [LIMIT_FREE] = {VIEW("free"), {60, 10}},
    [LIMIT_PRO] = {VIEW("pro"), {600, 60}},
    [LIMIT_ENTERPRISE] = {VIEW("enterprise"), {6000, 600}},
    [LIMIT_ADDRESS] = {VIEW("address"), {120, 60}},
    [LIMIT_PREVIEW] = {VIEW("preview"), {6000, 600}},
};

static enum limit_kind find_kind(struct view name)
{
    enum limit_kind kind = LIMIT_FREE;
    while (kind < LIMIT_KINDS && !view_equal(kinds[kind].name, name)) {
        kind++;
    }
    return kind;
}

/* 0 when it is no number from 1 to LIMIT_RATE_MAX. */
static int32_t read_number(struct view text)
{
    int32_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || number > LIMIT_RATE_MAX) {
            return 0;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    return number <= LIMIT_RATE_MAX ? number : 0;
}

/* named: a bit for each kind that was read. */
static bool read_item(struct limit_policy *policy, struct view item, unsigned *named)
{
    enum limit_kind kind = find_kind(view_cut(&item, '='));
    int32_t per_minute = read_number(view_cut(&item, '/'));
    int32_t burst = read_number(item);
    if (kind == LIMIT_KINDS || per_minute == 0 || burst == 0 || (*named & 1U << kind) != 0) {
        return false;
    }
    *named |= 1U << kind;
    policy->rates[kind] = (struct limit_rate){.per_minute = per_minute, .burst = burst};
    return true;
}

bool limit_policy_parse(struct limit_policy *policy, const char *text, struct err *err)
{
    struct view rest = view_of(text);
    struct view item;
    unsigned named = 0;
    for (size_t i = 0; i < LIMIT_KINDS; i++) {
        policy->rates[i] = kinds[i].rate;
    }
    while (text[0] != '\0' && syntax_next_item(&rest, &item)) {
        if (!read_item(policy, item, &named)) {
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" must be free, pro, enterprise, address or "
                           "preview, named once, = requests a minute / burst, such as free=60/10",
                           (int)item.len, item.ptr);
        }
    }
    return true;
}

struct limit_rate limit_policy_of_tier(const struct limit_policy *policy, struct view tier)
{
    enum limit_kind kind = find_kind(tier);
    return policy->rates[kind <= LIMIT_ENTERPRISE ? kind : LIMIT_FREE];
}

struct limit_rate limit_rate_capped(struct limit_rate rate, int64_t per_minute)
{
    if (per_minute >= rate.per_minute) {
        return rate;
    }
    int32_t capped = (int32_t)per_minute;
    return (struct limit_rate){.per_minute = capped,
                               .burst = rate.burst < capped ? rate.burst : capped};
}
