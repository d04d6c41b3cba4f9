insien_fuzz_target(agent_requests SOURCES agent_requests.c LIBS insien_agent)
insien_fuzz_target(agent_user SOURCES agent_user.c LIBS insien_agent)
insien_fuzz_target(agent_upgrade SOURCES agent_upgrade.c LIBS insien_agent)
