#include "sandbox-service/templates/reference.h"

#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { HEX_DIGITS = 64, REFERENCE_NAME_SIZE = REFERENCE_REGISTRY_SIZE + REFERENCE_REPOSITORY_SIZE };

static bool has_only(struct view text, const char *allowed)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\0' || strchr(allowed, text.ptr[i]) == NULL) {
            return false;
        }
    }
    return text.len > 0;
}

/* The last separator of text: what is behind it goes to tail, what is before stays. */
static bool split_last(struct view *text, char separator, struct view *tail)
{
    for (size_t i = text->len; i > 0; i--) {
        if (text->ptr[i - 1] == separator) {
            *tail = view_from(*text, i);
            text->len = i - 1;
            return true;
        }
    }
    return false;
}

static bool read_digest(struct view *text, char out[REFERENCE_DIGEST_SIZE])
{
    struct view digest;
    out[0] = '\0';
    if (!split_last(text, '@', &digest)) {
        return true;
    }
    return view_starts_with(digest, VIEW("sha256:")) &&
           digest.len == strlen("sha256:") + HEX_DIGITS &&
           has_only(view_from(digest, strlen("sha256:")), DIGITS "abcdef") &&
           view_copy(digest, out, REFERENCE_DIGEST_SIZE);
}

/* A colon in front of a slash belongs to a registry's port. */
static bool read_tag(struct view *text, const char *digest, char out[REFERENCE_TAG_SIZE])
{
    struct view before = *text;
    struct view tag;
    (void)snprintf(out, REFERENCE_TAG_SIZE, "%s", digest[0] == '\0' ? "latest" : "");
    if (!split_last(&before, ':', &tag) || memchr(tag.ptr, '/', tag.len) != NULL) {
        return true;
    }
    *text = before;
    return has_only(tag, LOWER UPPER DIGITS "_.-") && tag.ptr[0] != '.' && tag.ptr[0] != '-' &&
           view_copy(tag, out, REFERENCE_TAG_SIZE);
}

/* What stands before the first slash is a registry when it has a dot or a port, or is localhost. */
static bool names_registry(struct view text)
{
    struct view rest = text;
    struct view first = view_cut(&rest, '/');
    return first.len > 0 && rest.len > 0 &&
           (memchr(first.ptr, '.', first.len) != NULL ||
            memchr(first.ptr, ':', first.len) != NULL || view_equal(first, VIEW("localhost")));
}

static bool read_registry(struct view *text, char out[REFERENCE_REGISTRY_SIZE])
{
    (void)snprintf(out, REFERENCE_REGISTRY_SIZE, "%s", REFERENCE_REGISTRY_DEFAULT);
    if (!names_registry(*text)) {
        return true;
    }
    struct view rest = *text;
    struct view first = view_cut(&rest, '/');
    *text = rest;
    if (view_equal(first, VIEW("index.docker.io"))) {
        return true;
    }
    struct view port = first;
    struct view host = view_cut(&port, ':');
    return has_only(host, LOWER DIGITS ".-") && host.ptr[0] != '.' && host.ptr[0] != '-' &&
           (host.len == first.len || has_only(port, DIGITS)) &&
           view_copy(first, out, REFERENCE_REGISTRY_SIZE);
}

static bool is_separator(char c)
{
    return c == '.' || c == '_' || c == '-';
}

static bool read_repository(struct view text, char out[REFERENCE_REPOSITORY_SIZE])
{
    struct view rest = text;
    if (text.len == 0 || text.ptr[text.len - 1] == '/') {
        return false;
    }
    while (rest.len > 0) {
        struct view part = view_cut(&rest, '/');
        if (!has_only(part, LOWER DIGITS "._-") || is_separator(part.ptr[0]) ||
            is_separator(part.ptr[part.len - 1])) {
            return false;
        }
        for (size_t i = 1; i < part.len; i++) {
            if (part.ptr[i] == '.' && part.ptr[i - 1] == '.') {
                return false;
            }
        }
    }
    return view_copy(text, out, REFERENCE_REPOSITORY_SIZE);
}

static bool is_default(const struct reference *reference)
{
    return strcmp(reference->registry, REFERENCE_REGISTRY_DEFAULT) == 0;
}

bool reference_parse(struct view text, struct reference *out, struct err *err)
{
    *out = (struct reference){0};
    struct view rest = text;
    bool good = read_digest(&rest, out->digest) && read_tag(&rest, out->digest, out->tag) &&
                read_registry(&rest, out->registry);
    struct view official = rest;
    if (good && is_default(out) && view_equal(view_cut(&official, '/'), VIEW("library")) &&
        official.len > 0 && memchr(official.ptr, '/', official.len) == NULL) {
        rest = official;
    }
    return (good && read_repository(rest, out->repository)) ||
           err_set_reason(err, ERR_INVALID, "invalid_image",
                          "an image is called [registry/]name[:tag][@sha256:digest]");
}

/* A repository of the default registry may begin like another registry's name. */
static void write_name(const struct reference *reference, char out[REFERENCE_NAME_SIZE])
{
    bool is_short = is_default(reference) && !names_registry(view_of(reference->repository));
    (void)snprintf(out, REFERENCE_NAME_SIZE, "%s%s%s", is_short ? "" : reference->registry,
                   is_short ? "" : "/", reference->repository);
}

void reference_write(const struct reference *reference, char out[REFERENCE_TEXT_SIZE])
{
    char name[REFERENCE_NAME_SIZE];
    bool has_tag = reference->tag[0] != '\0';
    bool has_digest = reference->digest[0] != '\0';
    write_name(reference, name);
    (void)snprintf(out, REFERENCE_TEXT_SIZE, "%s%s%s%s%s", name, has_tag ? ":" : "", reference->tag,
                   has_digest ? "@" : "", reference->digest);
}

static struct view next_item(struct view *list)
{
    struct view item = view_cut(list, ',');
    while (item.len > 0 && item.ptr[0] == ' ') {
        item = view_from(item, 1);
    }
    while (item.len > 0 && item.ptr[item.len - 1] == ' ') {
        item.len--;
    }
    return item;
}

bool reference_registry_is_among(const struct reference *reference, const char *registries)
{
    struct view rest = view_of(registries);
    while (rest.len > 0) {
        if (view_equal(next_item(&rest), view_of(reference->registry))) {
            return true;
        }
    }
    return false;
}

static bool fits_pattern(struct view name, struct view pattern)
{
    if (pattern.len > 0 && pattern.ptr[pattern.len - 1] == '*') {
        pattern.len--;
        return view_starts_with(name, pattern);
    }
    return view_equal(name, pattern);
}

bool reference_is_among(const struct reference *reference, const char *patterns)
{
    char name[REFERENCE_NAME_SIZE];
    write_name(reference, name);
    struct view rest = view_of(patterns);
    while (rest.len > 0) {
        struct view pattern = next_item(&rest);
        if (pattern.len > 0 && fits_pattern(view_of(name), pattern)) {
            return true;
        }
    }
    return false;
}
