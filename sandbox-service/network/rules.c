#include "sandbox-service/network/rules.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOPBACK_NET = 127 };

const char *const rules_closed_ranges[] = {"0.0.0.0/8",    "10.0.0.0/8",     "100.64.0.0/10",
                                           "127.0.0.0/8",  "169.254.0.0/16", "172.16.0.0/12",
                                           "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15",
                                           "224.0.0.0/4",  "240.0.0.0/4",    NULL};

/* FNV-1a: only to tell long names apart. */
static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261U;
    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)*name) * 16777619U;
    }
    return hash;
}

void rules_name(struct rules *rules, const char *instance)
{
    (void)snprintf(rules->chain, sizeof rules->chain, "INSIEN-%.20s", instance);
    if (strlen(instance) < sizeof rules->bridge - strlen("ins-")) {
        (void)snprintf(rules->bridge, sizeof rules->bridge, "ins-%.11s", instance);
    } else {
        (void)snprintf(rules->bridge, sizeof rules->bridge, "ins-%.3s%08x", instance,
                       hash_name(instance));
    }
}

static void add_resolver(struct rules *rules, struct view line)
{
    static const struct view keyword = VIEW("nameserver");
    uint32_t address;
    if (!view_starts_with(line, keyword)) {
        return;
    }
    line = view_from(line, keyword.len);
    while (line.len > 0 && isspace((unsigned char)line.ptr[0])) {
        line = view_from(line, 1);
    }
    while (line.len > 0 && isspace((unsigned char)line.ptr[line.len - 1])) {
        line.len--;
    }
    if (address_parse(line, &address) && address >> 24U != LOOPBACK_NET &&
        rules->resolver_count < RESOLVERS_MAX) {
        rules->resolvers[rules->resolver_count++] = address;
    }
}

void rules_add_resolvers(struct rules *rules, struct view resolv_conf)
{
    while (resolv_conf.len > 0) {
        add_resolver(rules, view_cut(&resolv_conf, '\n'));
    }
}

bool rules_is_closed_range(const struct cidr *range)
{
    for (const char *const *text = rules_closed_ranges; *text != NULL; text++) {
        struct cidr closed;
        if (cidr_parse(view_of(*text), &closed) && range->bits >= closed.bits &&
            cidr_contains(&closed, range->address)) {
            return true;
        }
    }
    return false;
}

bool rules_add_connected(struct rules *rules, uint32_t address, uint32_t mask)
{
    const struct cidr network = {address & mask, (unsigned)__builtin_popcount(mask)};
    bool is_ours = cidr_contains(&rules->subnet, address);
    if (mask == 0 || is_ours || rules_is_closed_range(&network)) {
        return true;
    }
    if (rules->connected_count >= CONNECTED_MAX) {
        return false;
    }
    rules->connected[rules->connected_count++] = network;
    return true;
}

static void write_connected(const struct rules *rules, struct str *out)
{
    char range[CIDR_TEXT_SIZE];
    for (size_t i = 0; i < rules->connected_count; i++) {
        cidr_format(&rules->connected[i], range);
        str_appendf(out, "-A %s -d %s -j DROP\n", rules->chain, range);
    }
}

static void write_resolver(const struct rules *rules, uint32_t resolver, struct str *out)
{
    static const char *const protocols[] = {"udp", "tcp"};
    char address[ADDRESS_SIZE];
    address_format(resolver, address);
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        str_appendf(out, "-A %s -d %s/32 -p %s -m %s --dport 53 -j RETURN\n", rules->chain, address,
                    protocols[i], protocols[i]);
    }
}

bool rules_write(const struct rules *rules, struct str *out, struct err *err)
{
    char subnet[CIDR_TEXT_SIZE];
    cidr_format(&rules->subnet, subnet);
    str_appendf(out, "*filter\n:%s - [0:0]\n", rules->chain);
    /* Answers to what the host itself began. */
    str_appendf(out,
                "-A %s -m addrtype --dst-type LOCAL -m conntrack --ctstate RELATED,ESTABLISHED "
                "-j ACCEPT\n",
                rules->chain);
    for (size_t i = 0; i < rules->resolver_count; i++) {
        write_resolver(rules, rules->resolvers[i], out);
    }
    str_appendf(out, "-A %s -m addrtype --dst-type LOCAL -j DROP\n", rules->chain);
    for (const char *const *range = rules_closed_ranges; *range != NULL; range++) {
        str_appendf(out, "-A %s -d %s -j DROP\n", rules->chain, *range);
    }
    for (size_t i = 0; i < rules->blocked_count; i++) {
        str_appendf(out, "-A %s -d %s -j DROP\n", rules->chain, rules->blocked[i]);
    }
    write_connected(rules, out);
    str_appendf(out, "-A %s -d %s -j DROP\nCOMMIT\n", rules->chain, subnet);
    return str_check(out, "the firewall's rules", err);
}

/* "pkts bytes target prot opt in out source destination ..." */
static bool read_drop(const char *line, const char *range, int64_t *packets)
{
    enum { COLUMNS = 9, PACKETS = 0, TARGET = 2, DESTINATION = 8 };
    char columns[COLUMNS][CIDR_TEXT_SIZE + 13];
    for (int i = 0; i < COLUMNS; i++) {
        line += strspn(line, " ");
        size_t len = strcspn(line, " ");
        if (!view_copy((struct view){line, len}, columns[i], sizeof columns[i])) {
            return false;
        }
        line += len;
    }
    *packets = strtoll(columns[PACKETS], NULL, 10);
    return strcmp(columns[TARGET], "DROP") == 0 && strcmp(columns[DESTINATION], range) == 0;
}

int64_t rules_count_drops(struct view listing, const char *range)
{
    enum { LINE_SIZE = 512 };
    char line[LINE_SIZE];
    int64_t packets;
    while (listing.len > 0) {
        if (view_copy(view_cut(&listing, '\n'), line, sizeof line) &&
            read_drop(line, range, &packets)) {
            return packets;
        }
    }
    return -1;
}
