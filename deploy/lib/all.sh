# shellcheck shell=bash
# Loads every part, in no order that matters but ui first.

for part in ui settings record checks data packages kernel supervisor docker postgres redis images build certs services \
    account purge; do
    # shellcheck source=/dev/null
    . "${BASH_SOURCE[0]%/*}/$part.sh"
done
catch_errors
