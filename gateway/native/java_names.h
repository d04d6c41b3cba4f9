/* gateway/native/java_names.h: what a file of Java has to be called, and what to run of it. */
#ifndef GATEWAY_NATIVE_JAVA_NAMES_H
#define GATEWAY_NATIVE_JAVA_NAMES_H

#include "common/base/view.h"

/* Views into the code. */
struct java_names {
    struct view package;    /* empty: none; without blanks */
    struct view file;       /* the public type, else the main class */
    struct view main_class; /* the first outermost type that speaks of main, else the first */
};

/* Looks at the outermost types; comments, strings and characters are skipped, and of what does not
 * compile something is found too. False when there is no type. */
bool java_names_find(struct view code, struct java_names *out);

#endif
