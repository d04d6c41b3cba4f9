#include "sandbox-service/agent/traffic.h"

#include "common/base/cleanup.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>

enum {
    TEXT_SIZE = 16 * 1024,
    HEADER_LINES = 2,
    FIELD_RECEIVED = 0, /* behind the name */
    FIELD_SENT = 8,
};

static const char *next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end == NULL ? NULL : end + 1;
}

/* What one line counts; false when it is cut. */
static bool add_line(const char *name, const char *fields, size_t len, struct traffic *out)
{
    static const char loopback[] = "lo:";
    const char *end = fields + len;
    int64_t values[FIELD_SENT + 1];
    if (strncmp(name, loopback, sizeof loopback - 1) == 0) {
        return true;
    }
    for (int i = 0; i <= FIELD_SENT; i++) {
        char *behind = NULL;
        values[i] = strtoll(fields, &behind, 10);
        if (behind == fields || behind > end) {
            return false;
        }
        fields = behind;
    }
    out->received_bytes += values[FIELD_RECEIVED];
    out->sent_bytes += values[FIELD_SENT];
    return true;
}

bool traffic_parse(const char *text, struct traffic *out)
{
    *out = (struct traffic){0};
    for (int i = 0; i < HEADER_LINES; i++) {
        text = next_line(text);
        if (text == NULL) {
            return false;
        }
    }
    while (text != NULL && *text != '\0') {
        const char *name = text + strspn(text, " ");
        size_t len = strcspn(name, "\n");
        const char *colon = memchr(name, ':', len);
        if (colon == NULL || !add_line(name, colon + 1, len - (size_t)(colon + 1 - name), out)) {
            return false;
        }
        text = next_line(text);
    }
    return true;
}

bool traffic_read(struct traffic *out)
{
    char text[TEXT_SIZE];
    size_t len = 0;
    AUTO(close_fd) int fd = open("/proc/net/dev", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    while (got > 0 && len < sizeof text - 1) { /* the kernel gives a page at a time */
        got = read(fd, text + len, sizeof text - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    text[len] = '\0';
    return got == 0 && traffic_parse(text, out);
}
