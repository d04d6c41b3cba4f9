/* gateway/hub/arrival.h: an agent that knocks: its handshake, its token, its welcome. Inside the
 * hub only. */
#ifndef GATEWAY_HUB_ARRIVAL_H
#define GATEWAY_HUB_ARRIVAL_H

#include "common/base/list.h"
#include "common/base/str.h"
#include "gateway/hub/hub.h"

struct bufferevent;

/* Answers the exchange in every case; ends in hub_adopt when all is well. list holds the arrivals
 * in flight. */
void arrival_begin(struct hub *hub, const struct gateway *gateway, struct list *list,
                   struct http_exchange *exchange, const char sandbox_id[ID_SIZE]);
/* Their exchanges are answered 503. */
void arrivals_cancel(struct list *list);

/* Of hub.c: removes a credential that was used. */
void hub_unlink_token(struct hub *hub, const char sandbox_id[ID_SIZE]);
/* Of hub.c: makes a session of an upgraded connection. Takes bev and the contents of configure. */
void hub_adopt(struct hub *hub, const char sandbox_id[ID_SIZE], struct bufferevent *bev,
               struct str *configure);

#endif
