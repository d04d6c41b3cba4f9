insien_fuzz_target(client_streams SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_streams.c LIBS insien_gateway_parts)
