#include "sandbox-service/belongings.h"

#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/secrets/secrets.h"
#include "sandbox-service/service.h"
#include "sandbox-service/volumes/volumes.h"

void belongings_secret_set(struct ipc_exchange *exchange, const struct ipc_request *message,
                           void *arg)
{
    secrets_handle_set(service_sandboxes(arg)->secrets, exchange, message);
}

void belongings_secret_list(struct ipc_exchange *exchange, const struct ipc_request *message,
                            void *arg)
{
    secrets_handle_list(service_sandboxes(arg)->secrets, exchange, message);
}

void belongings_secret_delete(struct ipc_exchange *exchange, const struct ipc_request *message,
                              void *arg)
{
    secrets_handle_delete(service_sandboxes(arg)->secrets, exchange, message);
}

void belongings_volume_create(struct ipc_exchange *exchange, const struct ipc_request *message,
                              void *arg)
{
    volumes_handle_create(service_sandboxes(arg)->volumes, exchange, message);
}

void belongings_volume_list(struct ipc_exchange *exchange, const struct ipc_request *message,
                            void *arg)
{
    volumes_handle_list(service_sandboxes(arg)->volumes, exchange, message);
}

void belongings_volume_delete(struct ipc_exchange *exchange, const struct ipc_request *message,
                              void *arg)
{
    volumes_handle_delete(service_sandboxes(arg)->volumes, exchange, message);
}
