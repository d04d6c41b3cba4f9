insien_fuzz_target(ipc_envelope SOURCES ipc_envelope.c LIBS insien_common)
insien_fuzz_target(ipc_frame SOURCES ipc_frame.c LIBS insien_common)
