# The readers of what the Docker Engine answers. The first byte of an input chooses the reader.
insien_fuzz_target(docker_replies SOURCES docker_replies.c LIBS insien_sandbox_service)
# What templates are made from. The first byte of an input chooses the reader, too.
insien_fuzz_target(template_sources SOURCES template_sources.c LIBS insien_sandbox_service)
