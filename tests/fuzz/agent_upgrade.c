/* The gateway's answer to the agent's upgrade, whole and in two pieces. */
#include "sandbox-service/agent/upgrade.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char key[WS_KEY_SIZE] = "dGhlIHNhbXBsZSBub25jZQ==";
    struct view text = {(const char *)data, size};
    size_t consumed = 0;
    enum upgrade_state whole = upgrade_read(text, key, &consumed);
    if (whole == UPGRADE_ACCEPTED) {
        assert(consumed <= size && consumed <= UPGRADE_HEADERS_MAX);
    }
    size_t later = 0;
    enum upgrade_state part = upgrade_read((struct view){text.ptr, size / 2}, key, &later);
    /* What was decided early stays so. */
    assert(part == UPGRADE_INCOMPLETE || part == whole);
    return 0;
}
