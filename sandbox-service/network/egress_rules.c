#include "sandbox-service/network/egress_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    USED_HOLD_S = 300, /* who was quiet so long has its whole burst again anyway */
};

#define TARGET "ip daddr . meta l4proto . th dport"
#define TARGET_TYPE "type ipv4_addr . inet_proto . inet_service;"

static const char *const tier_names[TIER_COUNT] = {
    [TIER_FREE] = "free", [TIER_PRO] = "pro", [TIER_ENTERPRISE] = "enterprise"};

void egress_rules_name(struct egress_rules *rules, const struct rules *open)
{
    rules->open = open;
    (void)snprintf(rules->table, sizeof rules->table, "insien_%s", open->chain + strlen("INSIEN-"));
    for (char *c = rules->table; *c != '\0'; c++) {
        if (*c == '-') {
            *c = '_';
        }
    }
    /* "ins-insien" has "inr-insien" beside it. */
    (void)snprintf(rules->bridge, sizeof rules->bridge, "%s", open->bridge);
    rules->bridge[2] = 'r';
}

/* What is closed besides the host itself, one after the other; false behind the last. */
static bool closed_at(const struct egress_rules *rules, size_t index, struct cidr *out)
{
    const struct rules *open = rules->open;
    size_t fixed = 0;
    while (rules_closed_ranges[fixed] != NULL) {
        fixed++;
    }
    if (index < fixed) {
        return cidr_parse(view_of(rules_closed_ranges[index]), out);
    }
    index -= fixed;
    if (index < open->blocked_count) {
        return cidr_parse(view_of(open->blocked[index]), out);
    }
    index -= open->blocked_count;
    if (index < open->connected_count) {
        *out = open->connected[index];
        return true;
    }
    index -= open->connected_count;
    *out = index == 0 ? open->subnet : rules->subnet;
    return index < 2;
}

bool egress_is_closed(const struct egress_rules *rules, uint32_t address)
{
    struct cidr closed;
    for (size_t i = 0; closed_at(rules, i, &closed); i++) {
        if (cidr_contains(&closed, address)) {
            return true;
        }
    }
    return false;
}

static void add_rule(const struct egress_rules *rules, const char *chain, const char *text,
                     struct str *out)
{
    str_appendf(out, "add rule inet %s %s %s\n", rules->table, chain, text);
}

static void write_closed(const struct egress_rules *rules, struct str *out)
{
    struct cidr closed;
    char text[CIDR_TEXT_SIZE];
    str_appendf(out,
                "add set inet %s closed { type ipv4_addr; flags interval; auto-merge; }\n"
                "flush set inet %s closed\n",
                rules->table, rules->table);
    for (size_t i = 0; closed_at(rules, i, &closed); i++) {
        cidr_format(&closed, text);
        str_appendf(out, "add element inet %s closed { %s }\n", rules->table, text);
    }
}

static void write_chain(const struct egress_rules *rules, const char *name, const char *hook,
                        struct str *out)
{
    str_appendf(out,
                "add chain inet %s %s { %s; policy accept; }\n"
                "flush chain inet %s %s\n",
                rules->table, name, hook, rules->table, name);
}

/* More than its rate is dropped, not queued: a kernel's qdisc would need the container's own end of
 * the wire, and a second interface for the other direction. Who was quiet has a second's worth. An
 * entry keeps the rate that it began with: anew forgets them. */
static void write_tier(const struct egress_rules *rules, enum tier tier, const char *direction,
                       const char *who, bool anew, struct str *out)
{
    char chain[EGRESS_TABLE_SIZE];
    int64_t kbytes = rules->kbytes_per_s[tier];
    (void)snprintf(chain, sizeof chain, "%s_%s", direction, tier_names[tier]);
    str_appendf(out, "add chain inet %s %s\nflush chain inet %s %s\n", rules->table, chain,
                rules->table, chain);
    str_appendf(out,
                "add set inet %s used_%s { type ipv4_addr; flags dynamic,timeout; timeout %ds; "
                "size 65535; }\n",
                rules->table, chain, USED_HOLD_S);
    if (anew) {
        str_appendf(out, "flush set inet %s used_%s\n", rules->table, chain);
    }
    if (kbytes > 0) {
        str_appendf(out,
                    "add rule inet %s %s update @used_%s { ip %s limit rate over %" PRId64
                    " kbytes/second } drop\n",
                    rules->table, chain, chain, who, kbytes);
    }
}

static void write_rates(const struct egress_rules *rules, bool anew, struct str *out)
{
    for (int tier = 0; tier < TIER_COUNT; tier++) {
        write_tier(rules, (enum tier)tier, "from", "saddr", anew, out);
        write_tier(rules, (enum tier)tier, "to", "daddr", anew, out);
    }
    str_appendf(out,
                "add map inet %s rates_from { type ipv4_addr : verdict; }\n"
                "add map inet %s rates_to { type ipv4_addr : verdict; }\n",
                rules->table, rules->table);
}

static void write_forward(const struct egress_rules *rules, struct str *out)
{
    char text[256];
    const char *bridge = rules->bridge;
    write_chain(rules, "forward", "type filter hook forward priority -10", out);
    (void)snprintf(text, sizeof text, "iifname { %s, %s } ip saddr vmap @rates_from", bridge,
                   rules->open->bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "oifname { %s, %s } ip daddr vmap @rates_to", bridge,
                   rules->open->bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "iifname %s meta nfproto != ipv4 drop", bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "iifname %s ip hdrlength != 5 jump denied", bridge);
    add_rule(rules, "forward", text, out);
    /* Also its own network: what goes in and out there. */
    (void)snprintf(text, sizeof text, "iifname %s ip daddr @closed jump denied", bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "iifname %s ip saddr vmap @boxes", bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "iifname %s drop", bridge);
    add_rule(rules, "forward", text, out);
    (void)snprintf(text, sizeof text, "oifname %s ct state != { established, related } drop",
                   bridge);
    add_rule(rules, "forward", text, out);
}

static void write_input(const struct egress_rules *rules, struct str *out)
{
    char text[256];
    char resolver[ADDRESS_SIZE];
    address_format(rules->resolver, resolver);
    str_appendf(out,
                "add set inet %s asking { type ipv4_addr; flags dynamic,timeout; timeout %ds; "
                "size 65535; }\n",
                rules->table, USED_HOLD_S);
    write_chain(rules, "input", "type filter hook input priority -10", out);
    (void)snprintf(text, sizeof text, "iifname != %s return", rules->bridge);
    add_rule(rules, "input", text, out);
    add_rule(rules, "input", "meta nfproto != ipv4 drop", out);
    add_rule(rules, "input", "ip hdrlength != 5 drop", out);
    (void)snprintf(text, sizeof text,
                   "udp dport 53 update @asking { ip saddr limit rate over %d/second burst %d "
                   "packets } drop",
                   EGRESS_QUESTIONS_PER_S, EGRESS_QUESTIONS_BURST);
    add_rule(rules, "input", text, out);
    (void)snprintf(text, sizeof text, "ip daddr %s udp dport 53 accept", resolver);
    add_rule(rules, "input", text, out);
    /* Answers to what the host itself began. */
    add_rule(rules, "input", "ct direction reply ct state { established, related } accept", out);
    add_rule(rules, "input", "drop", out);
}

/* Every sandbox asks the same server, so that its network can be changed while it runs. Those on
 * the open bridge are led to the host's, and need none of us. */
static void write_names(const struct egress_rules *rules, struct str *out)
{
    static const char *const protocols[] = {"udp", "tcp"};
    char text[256];
    char ours[ADDRESS_SIZE];
    char theirs[ADDRESS_SIZE];
    write_chain(rules, "names", "type nat hook prerouting priority -110", out);
    if (rules->open->resolver_count == 0) {
        return;
    }
    address_format(rules->resolver, ours);
    address_format(rules->open->resolvers[0], theirs);
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        (void)snprintf(text, sizeof text, "iifname %s ip daddr %s %s dport 53 dnat ip to %s",
                       rules->open->bridge, ours, protocols[i], theirs);
        add_rule(rules, "names", text, out);
    }
}

bool egress_write_base(const struct egress_rules *rules, bool anew, struct str *out,
                       struct err *err)
{
    str_appendf(out, "add table inet %s\n", rules->table);
    str_appendf(out, "add map inet %s boxes { type ipv4_addr : verdict; }\n", rules->table);
    str_appendf(out, "add map inet %s watched { type ipv4_addr : verdict; }\n", rules->table);
    str_appendf(out, "add chain inet %s denied\nflush chain inet %s denied\n", rules->table,
                rules->table);
    add_rule(rules, "denied", "ip saddr vmap @watched", out);
    add_rule(rules, "denied", "drop", out);
    write_closed(rules, out);
    write_rates(rules, anew, out);
    write_forward(rules, out);
    write_input(rules, out);
    write_names(rules, out);
    return str_check(out, "the rules of restricted sandboxes", err);
}

/* Both chains of a sandbox and its sets, empty. */
static void write_box(const struct egress_rules *rules, uint32_t address, struct str *out)
{
    const char *table = rules->table;
    str_appendf(out, "add chain inet %s box_%08x\nflush chain inet %s box_%08x\n", table, address,
                table, address);
    str_appendf(out, "add chain inet %s not_%08x\nflush chain inet %s not_%08x\n", table, address,
                table, address);
    static const char *const opened[] = {"names", "held"};
    for (size_t i = 0; i < sizeof opened / sizeof opened[0]; i++) {
        str_appendf(out,
                    "add set inet %s %s_%08x { " TARGET_TYPE " flags dynamic,timeout; "
                    "timeout %ds; size %d; }\n",
                    table, opened[i], address, EGRESS_HOLD_S, EGRESS_NAMES_MAX);
    }
    str_appendf(out, "add set inet %s tried_%08x { " TARGET_TYPE " flags dynamic; size %d; }\n",
                table, address, EGRESS_ATTEMPTS_MAX);
}

static void write_jumps(const struct egress_rules *rules, uint32_t address, const char *verb,
                        struct str *out)
{
    char text[ADDRESS_SIZE];
    address_format(address, text);
    str_appendf(out, "%s element inet %s boxes { %s : goto box_%08x }\n", verb, rules->table, text,
                address);
    str_appendf(out, "%s element inet %s watched { %s : goto not_%08x }\n", verb, rules->table,
                text, address);
}

static void write_range(const struct egress_rules *rules, uint32_t address,
                        const struct policy_entry *entry, struct str *out)
{
    char range[CIDR_TEXT_SIZE];
    cidr_format(&entry->range, range);
    for (size_t i = 0; i < entry->port_count; i++) {
        str_appendf(out, "add rule inet %s box_%08x ip daddr %s %s dport %u-%u accept\n",
                    rules->table, address, range, entry->is_udp ? "udp" : "tcp",
                    (unsigned)entry->ports[i].first, (unsigned)entry->ports[i].last);
    }
}

/* A connection that goes on keeps its address open, whatever the name has become: what is used is
 * apart from what was only told, of which there may be more than there is room for. Where there is
 * no room among what is used, the last rule lets it through all the same. */
static void write_opened(const struct egress_rules *rules, uint32_t address, struct str *out)
{
    static const char *const opened[] = {"held", "names"};
    for (size_t i = 0; i < sizeof opened / sizeof opened[0]; i++) {
        str_appendf(out,
                    "add rule inet %s box_%08x " TARGET " @%s_%08x update @held_%08x { " TARGET
                    " timeout %ds } accept\n",
                    rules->table, address, opened[i], address, address, EGRESS_HOLD_S);
    }
    str_appendf(out, "add rule inet %s box_%08x " TARGET " @names_%08x accept\n", rules->table,
                address, address);
}

void egress_write_policy(const struct egress_rules *rules, uint32_t address,
                         const struct policy *policy, bool keep_names, struct str *out)
{
    write_box(rules, address, out);
    if (!keep_names) {
        egress_write_unused(rules, address, out);
        str_appendf(out, "flush set inet %s held_%08x\n", rules->table, address);
    }
    write_opened(rules, address, out);
    for (size_t i = 0; i < policy->count; i++) {
        if (policy->entries[i].is_range) {
            write_range(rules, address, &policy->entries[i], out);
        }
    }
    str_appendf(out, "add rule inet %s box_%08x goto not_%08x\n", rules->table, address, address);
    /* A full set only stops these rules, not the next. Of other protocols it is no port. */
    str_appendf(out,
                "add rule inet %s not_%08x meta l4proto { tcp, udp } update @tried_%08x { " TARGET
                " counter }\n"
                "add rule inet %s not_%08x meta l4proto != { tcp, udp } update @tried_%08x { "
                "ip daddr . meta l4proto . 0 counter }\n"
                "add rule inet %s not_%08x drop\n",
                rules->table, address, address, rules->table, address, address, rules->table,
                address);
    write_jumps(rules, address, "add", out);
}

void egress_write_removal(const struct egress_rules *rules, uint32_t address, struct str *out)
{
    const char *table = rules->table;
    write_box(rules, address, out); /* so that there is something to delete */
    write_jumps(rules, address, "add", out);
    write_jumps(rules, address, "delete", out);
    str_appendf(out,
                "delete chain inet %s box_%08x\ndelete chain inet %s not_%08x\n"
                "delete set inet %s names_%08x\ndelete set inet %s held_%08x\n"
                "delete set inet %s tried_%08x\n",
                table, address, table, address, table, address, table, address, table, address);
}

void egress_write_unused(const struct egress_rules *rules, uint32_t address, struct str *out)
{
    str_appendf(out, "flush set inet %s names_%08x\n", rules->table, address);
}

void egress_write_grant(const struct egress_rules *rules, uint32_t address,
                        const struct policy_entry *entry, uint32_t target, struct str *out)
{
    enum { ELEMENT_SIZE = EGRESS_TABLE_SIZE + ADDRESS_SIZE + 64 };
    char text[ADDRESS_SIZE];
    char element[ELEMENT_SIZE];
    address_format(target, text);
    for (size_t i = 0; i < entry->port_count; i++) {
        (void)snprintf(element, sizeof element, "element inet %s names_%08x { %s . %s . %u",
                       rules->table, address, text, entry->is_udp ? "udp" : "tcp",
                       (unsigned)entry->ports[i].first);
        /* So that its time begins anew. */
        str_appendf(out, "add %s }\ndelete %s }\nadd %s timeout %ds }\n", element, element, element,
                    EGRESS_GRANT_S);
    }
}

static void write_rate(const struct egress_rules *rules, const char *direction, const char *address,
                       enum tier tier, struct str *out)
{
    str_appendf(out, "add element inet %s rates_%s { %s : jump %s_%s }\n", rules->table, direction,
                address, direction, tier_names[tier]);
}

void egress_write_rate(const struct egress_rules *rules, uint32_t address, enum tier tier,
                       struct str *out)
{
    char text[ADDRESS_SIZE];
    address_format(address, text);
    write_rate(rules, "from", text, tier, out);
    write_rate(rules, "to", text, tier, out);
}

void egress_attempts_set(uint32_t address, char out[EGRESS_TABLE_SIZE])
{
    (void)snprintf(out, EGRESS_TABLE_SIZE, "tried_%08x", address);
}

/* "203.0.113.7 . 6 . 443 counter packets 3 bytes 180"; "tcp" and "udp" where names are printed. */
static bool read_attempt(const char *text, struct egress_attempt *out)
{
    enum { WORD = 16 };
    char address[WORD];
    char protocol[WORD];
    char port[WORD];
    char packets[WORD];
    if (sscanf(text, " %15s . %15s . %15s counter packets %15s bytes", address, protocol, port,
               packets) != 4 ||
        !address_parse(view_of(address), &out->address)) {
        return false;
    }
    out->protocol = strcmp(protocol, "tcp") == 0   ? PROTOCOL_TCP
                    : strcmp(protocol, "udp") == 0 ? PROTOCOL_UDP
                                                   : (unsigned)strtoul(protocol, NULL, 10);
    out->port = (unsigned)strtoul(port, NULL, 10);
    out->packets = strtoll(packets, NULL, 10);
    return out->packets > 0;
}

bool egress_next_attempt(struct view *listing, struct egress_attempt *out)
{
    enum { ELEMENT_MAX = 128 };
    static const char first[] = "elements = {";
    char text[ELEMENT_MAX];
    while (listing->len > 0) {
        struct view element = view_cut(listing, ',');
        const char *brace = memmem(element.ptr, element.len, first, sizeof first - 1);
        if (brace != NULL) {
            element = view_from(element, (size_t)(brace - element.ptr) + sizeof first - 1);
        }
        size_t len = element.len < sizeof text - 1 ? element.len : sizeof text - 1;
        if (view_copy((struct view){element.ptr, len}, text, sizeof text) &&
            read_attempt(text, out)) {
            return true;
        }
    }
    return false;
}

bool egress_next_box(struct view *listing, uint32_t *address)
{
    enum { DIGITS = 8, BASE = 16 };
    static const char jump[] = "goto box_";
    char digits[DIGITS + 1];
    const char *found = memmem(listing->ptr, listing->len, jump, sizeof jump - 1);
    if (found == NULL) {
        return false;
    }
    *listing = view_from(*listing, (size_t)(found - listing->ptr) + sizeof jump - 1);
    if (listing->len < DIGITS ||
        !view_copy((struct view){listing->ptr, DIGITS}, digits, sizeof digits)) {
        return false; /* cut off */
    }
    *address = (uint32_t)strtoul(digits, NULL, BASE);
    return true;
}
