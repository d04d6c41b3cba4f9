/* common/ws/mask.h: the masking of a frame's payload (RFC 6455, 5.3); for this folder. */
#ifndef COMMON_WS_MASK_H
#define COMMON_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

enum { WS_MASK_SIZE = 4 };

struct ws_mask {
    uint8_t key[WS_MASK_SIZE]; /* zero: the payload is as it is */
    size_t at;                 /* how much of the payload has passed */
};

/* Masks, or unmasks, the next bytes of the payload where they lie. */
void ws_mask_apply(struct ws_mask *mask, char *bytes, size_t len);

#endif
