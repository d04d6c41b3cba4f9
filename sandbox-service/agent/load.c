#include "sandbox-service/agent/load.h"

enum { MILLI = 1000 };

static int64_t since(const struct load_reading *base, int64_t now_us, int64_t cpu_us)
{
    int64_t passed_us = now_us - base->at_us;
    if (base->at_us == 0 || passed_us < LOAD_LEAST_US || passed_us > LOAD_MOST_US ||
        cpu_us < base->cpu_us) {
        return -1;
    }
    return (cpu_us - base->cpu_us) * MILLI / passed_us;
}

int64_t load_take(struct load *load, int64_t now_us, int64_t cpu_us)
{
    if (cpu_us < 0) {
        return -1;
    }
    int64_t milli = since(&load->newer, now_us, cpu_us);
    if (milli < 0) {
        milli = since(&load->older, now_us, cpu_us);
    }
    if (load->newer.at_us == 0 || now_us - load->newer.at_us >= LOAD_LEAST_US) {
        load->older = load->newer;
        load->newer = (struct load_reading){now_us, cpu_us};
    }
    return milli;
}
