insien_fuzz_target(json SOURCES ${CMAKE_CURRENT_LIST_DIR}/json.c LIBS insien_base)
