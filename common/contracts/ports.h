/* common/contracts/ports.h: what gateways ask the sandbox-service about the exposed ports of a
 * sandbox. */
#ifndef COMMON_CONTRACTS_PORTS_H
#define COMMON_CONTRACTS_PORTS_H

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    SANDBOX_PORTS_MAX = 64,
    PORT_NUMBER_MAX = 65535,
    PORT_ROW_TEXT_SIZE = 128,
};

#define PORT_PUBLIC "public" /* visibilities: anybody may come */
#define PORT_TOKEN "token"   /* only who brings the port's token */

/* One exposed port, and its form in messages:
 * "<container port> <host port> <visibility> <generation> <created>". */
struct port_row {
    uint16_t container_port;
    uint16_t host_port; /* 0: none */
    bool is_public;
    char generation[ID_SIZE];        /* random, another one each time a port is exposed anew */
    char created_at[CLOCK_ISO_SIZE]; /* RFC 3339 */
};
void port_row_write(const struct port_row *row, char out[PORT_ROW_TEXT_SIZE]);
/* ERR_INVALID when it is none. */
bool port_row_read(struct view text, struct port_row *out, struct err *err) MUST_CHECK;

/* port.expose -> port_answer. A port that is exposed already keeps its row; its visibility becomes
 * this one, and its host port stays unless it is outside the range or is taken_port. ERR_NOT_FOUND
 * "sandbox_not_found" (also those of others), ERR_CONFLICT "sandbox_ended", ERR_LIMIT
 * "port_quota_exceeded" or "host_ports_exhausted". */
#define PORT_EXPOSE "port.expose"
struct port_expose {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    struct view visibility;
    int64_t container_port;
    int64_t host_port_first; /* the gateway's range; 0: it has none, and the port gets none */
    int64_t host_port_last;
    int64_t taken_port; /* of that range: somebody else listens there; the next one is wanted; 0 */
};
extern const struct json_schema port_expose_schema;
struct port_answer {
    struct view port; /* port_row_read */
};
extern const struct json_schema port_answer_schema;

/* port.list {sandboxId} -> port_list_answer; the caller compares user_id. ERR_NOT_FOUND
 * "sandbox_not_found". */
#define PORT_LIST "port.list"
struct port_list {
    char sandbox_id[ID_SIZE];
};
extern const struct json_schema port_list_schema;
struct port_list_answer {
    char user_id[ID_SIZE];
    struct json_strings ports; /* port_row_read; by container port */
    bool is_live;              /* the sandbox is creating or running; else it has no ports */
};
extern const struct json_schema port_list_answer_schema;

/* port.close -> {}. ERR_NOT_FOUND "port_not_found" when it is not exposed, "sandbox_not_found". */
#define PORT_CLOSE "port.close"
struct port_close {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t container_port;
};
extern const struct json_schema port_close_schema;

#endif
