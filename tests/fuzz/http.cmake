insien_fuzz_target(trace SOURCES trace.c LIBS insien_base)
insien_fuzz_target(http_head SOURCES http_head.c LIBS insien_gateway_http)
insien_fuzz_target(http_connection SOURCES http_connection.c LIBS insien_gateway_http)
insien_fuzz_target(forwarded SOURCES forwarded.c LIBS insien_gateway_http)
