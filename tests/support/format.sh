#!/usr/bin/env bash
# Every C file reads as .clang-format has it.
set -euo pipefail
find common auth-service sandbox-service gateway migrations tests -name '*.[ch]' -print0 |
    xargs -0 clang-format --dry-run -Werror
