#include "sandbox-service/agent/trim.h"

#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        /* What may be written has changed since it was loaded and is in no file. */
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue;
        }
        uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
        uintptr_t end = info->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        /* An address of the loader's making: there is no pointer to derive it from. */
        (void)madvise((void *)start, end - start, // NOLINT(performance-no-int-to-ptr)
                      MADV_DONTNEED);
    }
    return 0;
}

void trim_program(void)
{
    (void)dl_iterate_phdr(trim_object, NULL);
}
