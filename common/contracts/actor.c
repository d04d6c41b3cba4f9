#include "common/contracts/actor.h"

#include "common/base/utf8.h"
#include "common/json/write.h"

#include <assert.h>

const struct actor actor_none;

const struct json_field actor_fields[ACTOR_FIELD_COUNT] = {
    JSON_ID(struct actor_wire, user_id, "userId"),
    JSON_ID(struct actor_wire, api_key_id, "apiKeyId"),
    JSON_STRING(struct actor_wire, address, "address", .max_len = ACTOR_ADDRESS_SIZE - 1),
    JSON_STRING(struct actor_wire, impersonator, "impersonator",
                .max_len = ACTOR_IMPERSONATOR_SIZE - 1),
    JSON_STRING(struct actor_wire, user_agent, "userAgent", .max_len = ACTOR_USER_AGENT_SIZE - 1),
};

void actor_text_set(char *out, size_t size, struct view text)
{
    size_t length = 0;
    while (text.len > 0 && text.ptr[0] != '\0') {
        size_t skip = 0;
        size_t unit = utf8_length(text, &skip);
        bool is_sound = unit > 0;
        unit = is_sound ? unit : skip;
        size_t written = is_sound ? unit : 1;
        if (length + written >= size) {
            break;
        }
        if (is_sound) {
            memcpy(out + length, text.ptr, unit);
        } else {
            out[length] = '?';
        }
        length += written;
        text = view_from(text, unit);
    }
    out[length] = '\0';
}

static void write_known(struct json_writer *writer, const char *name, const char *text)
{
    if (text[0] != '\0') {
        json_string(writer, name, view_of(text));
    }
}

void actor_write(struct json_writer *writer, const char *name, const struct actor *actor)
{
    if (actor->user_id[0] == '\0' && actor->api_key_id[0] == '\0' && actor->address[0] == '\0' &&
        actor->impersonator[0] == '\0' && actor->user_agent[0] == '\0') {
        return;
    }
    json_begin_object(writer, name);
    write_known(writer, "userId", actor->user_id);
    write_known(writer, "apiKeyId", actor->api_key_id);
    write_known(writer, "address", actor->address);
    write_known(writer, "impersonator", actor->impersonator);
    write_known(writer, "userAgent", actor->user_agent);
    json_end_object(writer);
}

void actor_read(const struct actor_wire *wire, struct actor *out)
{
    memcpy(out->user_id, wire->user_id, sizeof out->user_id);
    memcpy(out->api_key_id, wire->api_key_id, sizeof out->api_key_id);
    bool fits = view_copy(wire->address, out->address, sizeof out->address) &&
                view_copy(wire->impersonator, out->impersonator, sizeof out->impersonator) &&
                view_copy(wire->user_agent, out->user_agent, sizeof out->user_agent);
    assert(fits); /* the fields bound them and let no NUL in */
}
