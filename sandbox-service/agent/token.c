#include "sandbox-service/agent/token.h"

#include "common/base/secret.h"
#include "sandbox-service/agent/open.h"

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

bool token_set(struct token *token, struct view text)
{
    if (text.len == 0 || text.len >= sizeof token->text) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char(text.ptr[i])) {
            return false;
        }
    }
    token_wipe(token);
    memcpy(token->text, text.ptr, text.len);
    return true;
}

bool token_load(struct token *token, const char *path)
{
    char text[AGENT_TOKEN_MAX + 2]; /* a newline may follow */
    struct err ignored;
    AUTO(close_fd) int fd = open_regular(path, O_RDONLY, NULL, &ignored);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    bool loaded = len > 0 && token_set(token, (struct view){text, (size_t)len});
    secret_wipe(text, sizeof text);
    return loaded;
}

void token_wipe(struct token *token)
{
    secret_wipe(token->text, sizeof token->text);
}
