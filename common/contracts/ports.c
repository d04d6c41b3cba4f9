#include "common/contracts/ports.h"

#include <stdio.h>

enum { PORT_DIGITS_MAX = 5 };

void port_row_write(const struct port_row *row, char out[PORT_ROW_TEXT_SIZE])
{
    (void)snprintf(out, PORT_ROW_TEXT_SIZE, "%u %u %s %s %s", (unsigned)row->container_port,
                   (unsigned)row->host_port, row->is_public ? PORT_PUBLIC : PORT_TOKEN,
                   row->generation, row->created_at);
}

static bool read_port(struct view text, uint16_t *out)
{
    uint32_t value = 0;
    if (text.len == 0 || text.len > PORT_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *out = (uint16_t)value;
    return value <= PORT_NUMBER_MAX;
}

static bool read_visibility(struct view text, bool *is_public)
{
    *is_public = view_equal(text, VIEW(PORT_PUBLIC));
    return *is_public || view_equal(text, VIEW(PORT_TOKEN));
}

bool port_row_read(struct view text, struct port_row *out, struct err *err)
{
    *out = (struct port_row){0};
    return (read_port(view_cut(&text, ' '), &out->container_port) && out->container_port != 0 &&
            read_port(view_cut(&text, ' '), &out->host_port) &&
            read_visibility(view_cut(&text, ' '), &out->is_public) &&
            id_parse(view_cut(&text, ' '), out->generation) &&
            view_copy(text, out->created_at, sizeof out->created_at)) ||
           err_set(err, ERR_INVALID, "a port's row can't be read");
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

static const char *const visibilities[] = {PORT_PUBLIC, PORT_TOKEN, NULL};

FIELDS expose_fields[] = {
    JSON_ID(struct port_expose, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct port_expose, user_id, "userId", .required = true),
    JSON_STRING(struct port_expose, visibility, "visibility", .required = true,
                .one_of = visibilities),
    JSON_INT(struct port_expose, container_port, "containerPort", .required = true, .min = 1,
             .max = PORT_NUMBER_MAX),
    JSON_INT(struct port_expose, host_port_first, "hostPortFirst", .min = 0,
             .max = PORT_NUMBER_MAX),
    JSON_INT(struct port_expose, host_port_last, "hostPortLast", .min = 0, .max = PORT_NUMBER_MAX),
    JSON_INT(struct port_expose, taken_port, "takenPort", .min = 0, .max = PORT_NUMBER_MAX),
};
SCHEMA(port_expose_schema, expose_fields);

FIELDS answer_fields[] = {
    JSON_STRING(struct port_answer, port, "port", .required = true,
                .max_len = PORT_ROW_TEXT_SIZE - 1),
};
SCHEMA(port_answer_schema, answer_fields);

FIELDS list_fields[] = {
    JSON_ID(struct port_list, sandbox_id, "sandboxId", .required = true),
};
SCHEMA(port_list_schema, list_fields);

FIELDS list_answer_fields[] = {
    JSON_ID(struct port_list_answer, user_id, "userId", .required = true),
    JSON_STRINGS(struct port_list_answer, ports, "ports", .required = true,
                 .max_len = SANDBOX_PORTS_MAX, .item_max = PORT_ROW_TEXT_SIZE - 1),
    JSON_BOOL(struct port_list_answer, is_live, "isLive", .required = true),
};
SCHEMA(port_list_answer_schema, list_answer_fields);

FIELDS close_fields[] = {
    JSON_ID(struct port_close, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct port_close, user_id, "userId", .required = true),
    JSON_INT(struct port_close, container_port, "containerPort", .required = true, .min = 1,
             .max = PORT_NUMBER_MAX),
};
SCHEMA(port_close_schema, close_fields);
