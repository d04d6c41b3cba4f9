/* sandbox-service/agent/trim.h: gives back what only starting needed. */
#ifndef SANDBOX_AGENT_TRIM_H
#define SANDBOX_AGENT_TRIM_H

/* Unmaps the pages of program and libraries from this process until they are used again: most were
 * touched by the loader alone. They stay in the kernel's cache, so coming back costs little. */
void trim_program(void);

#endif
