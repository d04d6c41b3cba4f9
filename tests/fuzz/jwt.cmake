# The verifiers of session tokens and client tokens, the verifier and reader of webhooks, and the reader of key sets and
# publishable keys.
insien_fuzz_target(jwt_token SOURCES jwt_token.c LIBS insien_auth_parts)
insien_fuzz_target(client_token SOURCES client_token.c LIBS insien_auth_parts)
insien_fuzz_target(webhook SOURCES webhook.c LIBS insien_auth_parts)
insien_fuzz_target(jwt_keys SOURCES jwt_keys.c LIBS insien_auth_parts)
