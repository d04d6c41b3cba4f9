#include "sandbox-service/network/policy.h"

#include "common/json/write.h"
#include "sandbox-service/network/rules.h"

#include <stdlib.h>

enum {
    LABEL_MAX = 63,
    PORT_DIGITS_MAX = 5,
    PORT_MAX = 65535,
    WEB_PORT = 80,
    TLS_PORT = 443,
    RANGE_BITS_LEAST = 8, /* wider ones are the open network by another name */
};

static bool refuse(const char **problem, const char *text)
{
    *problem = text;
    return false;
}

static bool read_port(struct view text, uint16_t *out)
{
    unsigned value = 0;
    if (text.len == 0 || text.len > PORT_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = (uint16_t)value;
    return value >= 1 && value <= PORT_MAX;
}

static bool read_span(struct view text, struct port_span *out)
{
    bool is_span = text.len > 0 && memchr(text.ptr, '-', text.len) != NULL;
    struct view first = view_cut(&text, '-');
    if (!read_port(first, &out->first)) {
        return false;
    }
    out->last = out->first;
    return !is_span || (read_port(text, &out->last) && out->last >= out->first);
}

static bool read_ports(struct view text, struct policy_entry *out, const char **problem)
{
    bool more = true;
    while (more) {
        more = memchr(text.ptr, ',', text.len) != NULL;
        struct view one = view_cut(&text, ',');
        struct port_span *span = &out->ports[out->port_count];
        if (out->port_count == POLICY_PORTS_MAX) {
            return refuse(problem, "must have at most 8 ports");
        }
        if (!read_span(one, span)) {
            return refuse(problem,
                          "must have ports from 1 to 65535, such as :443 or :80,8000-8010");
        }
        /* Each address of a name is let through port by port. */
        if (!out->is_range && span->first != span->last) {
            return refuse(problem, "must have single ports where it names a domain");
        }
        out->port_count++;
    }
    return true;
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool read_domain(struct view text, struct policy_entry *out)
{
    size_t labels = 0;
    if (text.len > 0 && text.ptr[text.len - 1] == '.') {
        text.len--;
    }
    if (!view_copy(text, out->domain, sizeof out->domain)) {
        return false;
    }
    for (char *c = out->domain; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
    for (const char *label = out->domain; label != NULL; labels++) {
        size_t len = strcspn(label, ".");
        bool ok = len > 0 && len <= LABEL_MAX && label[0] != '-' && label[len - 1] != '-';
        for (size_t i = 0; i < len; i++) {
            ok = ok && is_label_char(label[i]);
        }
        if (!ok) {
            return false;
        }
        label = label[len] == '\0' ? NULL : label + len + 1;
    }
    return labels >= 2; /* neither "com" nor "*.com", and nothing of the host's own network */
}

static bool is_closed(const struct cidr *range)
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

static bool read_host(struct view text, struct policy_entry *out, const char **problem)
{
    out->is_range = cidr_parse(text, &out->range);
    if (out->is_range) {
        return (out->range.bits >= RANGE_BITS_LEAST ||
                refuse(problem, "must be a range of /8 or narrower")) &&
               (!is_closed(&out->range) ||
                refuse(problem, "must be on the internet: private addresses stay closed"));
    }
    out->is_wildcard = view_starts_with(text, VIEW("*."));
    if (out->is_wildcard) {
        text = view_from(text, strlen("*."));
    }
    /* What ends in digits is an address gone wrong, and no domain. */
    bool is_number = text.len > 0 && text.ptr[text.len - 1] >= '0' && text.ptr[text.len - 1] <= '9';
    return (!is_number && read_domain(text, out)) ||
           refuse(problem, "must be a domain, *.domain, an IPv4 address or range, and its ports");
}

/* "/udp" ends an entry; the "/24" of a range does not look like it. */
static bool cut_protocol(struct view *text)
{
    static const struct view udp = VIEW("/udp");
    static const struct view tcp = VIEW("/tcp");
    size_t len = udp.len;
    struct view end = text->len < len ? VIEW("") : view_from(*text, text->len - len);
    if (view_equal(end, udp) || view_equal(end, tcp)) {
        text->len -= len;
    }
    return view_equal(end, udp);
}

bool policy_entry_read(struct view text, struct policy_entry *out, const char **problem)
{
    *out = (struct policy_entry){0};
    if (text.len == 0 || text.len > POLICY_ENTRY_MAX) {
        return refuse(problem, "must not be empty, nor longer than any name");
    }
    out->is_udp = cut_protocol(&text);
    bool has_ports = memchr(text.ptr, ':', text.len) != NULL;
    struct view host = view_cut(&text, ':');
    if (!read_host(host, out, problem)) {
        return false;
    }
    if (has_ports) {
        return read_ports(text, out, problem);
    }
    if (out->is_udp) {
        return refuse(problem, "must have its ports where it is /udp");
    }
    out->ports[0] = (struct port_span){WEB_PORT, WEB_PORT};
    out->ports[1] = (struct port_span){TLS_PORT, TLS_PORT};
    out->port_count = 2;
    return true;
}

bool policy_check_entry(struct view text, const char **problem)
{
    struct policy_entry ignored;
    return policy_entry_read(text, &ignored, problem);
}

struct policy *policy_read(const struct json_strings *entries, struct err *err)
{
    if (entries->count > POLICY_ENTRIES_MAX) {
        err_set_reason(err, ERR_INVALID, "validation_failed", "allow has more than %d entries",
                       POLICY_ENTRIES_MAX);
        return NULL;
    }
    struct policy *policy =
        calloc(1, sizeof *policy + entries->count * sizeof(struct policy_entry));
    if (policy == NULL) {
        err_set(err, ERR_INTERNAL, "network policy: out of memory");
        return NULL;
    }
    for (size_t i = 0; i < entries->count; i++) {
        const char *problem = "";
        if (!policy_entry_read(entries->items[i], &policy->entries[i], &problem)) {
            err_set_reason(err, ERR_INVALID, "validation_failed", "allow[%zu] %s", i, problem);
            free(policy);
            return NULL;
        }
        policy->count++;
    }
    return policy;
}

bool policy_write(const struct json_strings *entries, struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < entries->count; i++) {
        json_string(&json, NULL, entries->items[i]);
    }
    json_end_array(&json);
    return str_check(out, "the allow-list", err);
}

static const struct json_field list_fields[] = {
    JSON_STRINGS(struct policy_list, entries, "allow", .required = true,
                 .max_len = POLICY_ENTRIES_MAX, .item_max = POLICY_ENTRY_MAX),
};

struct json_doc *policy_read_list(struct view array, struct policy_list *out, struct err *err)
{
    enum { AROUND = 16 }; /* {"allow":} */
    const struct json_schema schema = JSON_SCHEMA(list_fields, .refuse_unknown = true);
    AUTO(str_free) struct str text = STR_INIT(POLICY_TEXT_MAX + AROUND);
    struct json_writer json = json_writer_on(&text);
    json_begin_object(&json, NULL);
    json_raw(&json, "allow", array);
    json_end_object(&json);
    return str_check(&text, "the allow-list", err)
               ? json_read(str_view(&text), &schema, out, NULL, err)
               : NULL;
}

struct policy *policy_read_text(struct view array, struct err *err)
{
    struct policy_list list;
    AUTO(json_doc_release) struct json_doc *doc = policy_read_list(array, &list, err);
    return doc == NULL ? NULL : policy_read(&list.entries, err);
}

bool policy_entry_has_name(const struct policy_entry *entry, struct view name)
{
    struct view domain = view_of(entry->domain);
    if (entry->is_range) {
        return false;
    }
    if (!entry->is_wildcard) {
        return view_equal(name, domain);
    }
    return name.len > domain.len + 1 && name.ptr[name.len - domain.len - 1] == '.' &&
           view_equal(view_from(name, name.len - domain.len), domain);
}

bool policy_has_name(const struct policy *policy, struct view name)
{
    for (size_t i = 0; i < policy->count; i++) {
        if (policy_entry_has_name(&policy->entries[i], name)) {
            return true;
        }
    }
    return false;
}

/* Names have single ports, of a protocol. */
static bool has_port(const struct policy_entry *entry, const struct policy_entry *other,
                     uint16_t port)
{
    bool has = false;
    for (size_t i = 0; i < entry->port_count; i++) {
        has |= entry->ports[i].first == port;
    }
    return has && entry->is_udp == other->is_udp;
}

/* Whether the names that an entry is about are all among another one's. */
static bool has_host(const struct policy_entry *entry, const struct policy_entry *other)
{
    bool is_same = !entry->is_range && entry->is_wildcard == other->is_wildcard &&
                   strcmp(entry->domain, other->domain) == 0;
    bool is_below = (entry->is_wildcard || !other->is_wildcard) &&
                    policy_entry_has_name(entry, view_of(other->domain));
    return is_same || is_below;
}

bool policy_has_names_of(const struct policy *policy, const struct policy *other)
{
    bool has_all = true;
    for (size_t i = 0; i < other->count; i++) {
        const struct policy_entry *wanted = &other->entries[i];
        for (size_t port = 0; !wanted->is_range && port < wanted->port_count; port++) {
            bool has = false;
            for (size_t j = 0; j < policy->count; j++) {
                has |= has_host(&policy->entries[j], wanted) &&
                       has_port(&policy->entries[j], wanted, wanted->ports[port].first);
            }
            has_all &= has;
        }
    }
    return has_all;
}
