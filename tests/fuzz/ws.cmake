insien_fuzz_target(ws SOURCES ${CMAKE_CURRENT_LIST_DIR}/ws.c LIBS insien_base)
