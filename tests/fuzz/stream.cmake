insien_fuzz_target(stream SOURCES stream.c LIBS insien_base)
