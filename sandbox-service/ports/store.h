/* sandbox-service/ports/store.h: exposed ports in PostgreSQL. Rows go with their sandbox: the
 * database deletes them in the transaction that ends it. */
#ifndef SANDBOX_PORTS_STORE_H
#define SANDBOX_PORTS_STORE_H

#include "common/contracts/ports.h"
#include "common/db/pg.h"

struct port_store;

struct port_store *port_store_open(struct loop *loop, const char *url, struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool port_store_fail_all(struct port_store *store);
/* After port_store_fail_all; NULL is fine. */
void port_store_close(struct port_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

/* One row, for port_store_read_row. Errors as those of PORT_EXPOSE. */
bool port_store_expose(struct port_store *store, const struct port_expose *request,
                       pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
void port_store_read_row(const PGresult *result, int row, struct port_row *out);

/* A row for each port, by container port; one row without a port when there is none; no row when
 * there is no such sandbox. */
bool port_store_list(struct port_store *store, const char sandbox_id[ID_SIZE], pg_result_fn *done,
                     void *arg, struct err *err) MUST_CHECK;
bool port_store_has_port(const PGresult *result, int row);
/* Of any row of port_store_list. */
struct port_owner {
    char user_id[ID_SIZE];
    bool is_live;
};
void port_store_read_owner(const PGresult *result, struct port_owner *out);

/* No row: the sandbox is not the user's. */
bool port_store_remove(struct port_store *store, const struct port_close *request,
                       pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
/* Whether the port was exposed until now. */
bool port_store_read_removed(const PGresult *result);

#endif
