insien_fuzz_target(ipc_envelope SOURCES ipc_envelope.c LIBS insien_common)
