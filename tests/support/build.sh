#!/usr/bin/env bash
# Configures and builds one build type: build.sh TYPE [TARGET...]; a target ending in * names all
# that begin so. The folder is the one that deploy/up uses, so nothing is compiled twice.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
type=$1
shift
dir=$INSIEN_STATE_DIR/build/$type

options=()
[ "$type" != Fuzz ] || options+=(-DCMAKE_C_COMPILER=clang)
! command -v ccache >/dev/null || options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
cmake -S "$ROOT" -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE="$type" -DINSIEN_TESTS=ON \
    -DCMAKE_INSTALL_PREFIX="$INSIEN_STATE_DIR/data/$type" "${options[@]}"

targets=()
for target in "$@"; do
    case $target in
    *\*)
        mapfile -t named < <(ninja -C "$dir" -t targets all |
            sed -n "s|^\(${target%\*}[a-z0-9_]*\): phony$|\1|p")
        targets+=("${named[@]}")
        ;;
    *) targets+=("$target") ;;
    esac
done
ninja -C "$dir" "${targets[@]}"
