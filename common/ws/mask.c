#include "common/ws/mask.h"

#include <string.h>

/* The key as the next bytes of the payload need it, twice. */
static uint64_t word_of(const struct ws_mask *mask)
{
    uint8_t bytes[sizeof(uint64_t)];
    uint64_t word;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = mask->key[(mask->at + i) % WS_MASK_SIZE];
    }
    memcpy(&word, bytes, sizeof word);
    return word;
}

void ws_mask_apply(struct ws_mask *mask, char *bytes, size_t len)
{
    const uint64_t key = word_of(mask);
    size_t done = 0;
    if (key == 0) {
        return;
    }
    for (; len - done >= sizeof key; done += sizeof key) {
        uint64_t word;
        memcpy(&word, bytes + done, sizeof word);
        word ^= key;
        memcpy(bytes + done, &word, sizeof word);
    }
    for (; done < len; done++) {
        bytes[done] = (char)((uint8_t)bytes[done] ^ mask->key[(mask->at + done) % WS_MASK_SIZE]);
    }
    mask->at = (mask->at + len) % WS_MASK_SIZE;
}
