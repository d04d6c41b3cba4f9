insien_fuzz_target(multipart SOURCES multipart.c LIBS insien_gateway_parts)
insien_fuzz_target(conditions SOURCES conditions.c LIBS insien_gateway_parts)
