# What restricted sandboxes and the host's resolver send to our own.
insien_fuzz_target(dns_message SOURCES dns_message.c LIBS insien_sandbox_service)
