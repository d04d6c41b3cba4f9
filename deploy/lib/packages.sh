# shellcheck shell=bash disable=SC2034 # used by those that load this file
# Debian packages, in lists that other scripts may use too, after loading ui.sh and this file:
# require_packages "${TEST_PACKAGES[@]}".
# Nothing is started by an installation, no PostgreSQL cluster is made, and what the operator had set
# for that stands again afterwards.

BUILD_PACKAGES=(
    cmake ninja-build gcc libc6-dev pkg-config libevent-dev libpq-dev libhiredis-dev libcjson-dev
    libssl-dev libjwt-dev libcurl4-openssl-dev libnng-dev libcrypt-dev libllhttp-dev
    libarchive-dev zlib1g-dev
)
RUN_PACKAGES=(
    postgresql-15 redis-server runit docker.io iptables e2fsprogs nftables debootstrap curl ca-certificates
    busybox-static procps
)
TEST_PACKAGES=(libcmocka-dev clang clang-tidy clang-format libclang-rt-14-dev shellcheck git)
command -v node >/dev/null || TEST_PACKAGES+=(nodejs npm)

POLICY_FILE=/usr/sbin/policy-rc.d
CLUSTER_FILE=/etc/postgresql-common/createcluster.conf
MIRROR_FILE=/etc/apt/sources.list.d/trixie-pinned.sources
PIN_FILE=/etc/apt/preferences.d/trixie-pinned

# Prints those of the named packages that are not installed.
missing_packages() {
    local name installed
    installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true)"
    for name in "$@"; do
        [[ $installed == *" installed:$name "* ]] || printf '%s\n' "$name"
    done
}

# Prints the Debian mirror that this machine uses, from either form of apt's sources.
debian_mirror() {
    local file mirror=
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/*.sources; do
        if [ ! -r "$file" ] || [ "$file" = "$MIRROR_FILE" ]; then
            continue
        fi
        mirror=$(awk '/^URIs:/ && $2 ~ /\/debian\/?$/ {print $2; exit}' "$file")
        [ -z "$mirror" ] || break
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -n "$mirror" ] || [ ! -r "$file" ]; then
            continue
        fi
        mirror=$(sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]\+\)\?\([^ ]*\/debian\/\?\)[[:space:]].*/\2/p' "$file" | head -n 1)
    done
    [ -n "$mirror" ] ||
        die "finds no Debian mirror in /etc/apt: add one to /etc/apt/sources.list.d/debian.sources."
    printf '%s' "${mirror%/}"
}

# llhttp is in Debian 13 only, and needs nothing newer than Debian 12 has. The pin keeps everything
# else of Debian 13 away.
pin_llhttp() {
    local mirror
    [ ! -e "$MIRROR_FILE" ] || return 0
    mirror=$(debian_mirror)
    cat >"$MIRROR_FILE" <<S
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
S
    cat >"$PIN_FILE" <<'P'
Package: *
Pin: release n=trixie
Pin-Priority: -10

Package: libllhttp-dev libllhttp9.2
Pin: release n=trixie
Pin-Priority: 990
P
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o Acquire::Retries=3 "$@"
}

forbid_service_starts() {
    [ ! -e "$POLICY_FILE" ] || mv -n "$POLICY_FILE" "$POLICY_FILE.before-insien"
    printf '#!/bin/sh\nexit 101\n' >"$POLICY_FILE"
    chmod 0755 "$POLICY_FILE"
}

allow_service_starts() {
    rm -f "$POLICY_FILE"
    [ ! -e "$POLICY_FILE.before-insien" ] || mv "$POLICY_FILE.before-insien" "$POLICY_FILE"
    [ ! -e "$CLUSTER_FILE.before-insien" ] || mv "$CLUSTER_FILE.before-insien" "$CLUSTER_FILE"
}

# The package of a PostgreSQL version makes and starts a cluster unless this file forbids it.
forbid_postgres_cluster() {
    apt_install postgresql-common
    cp -pn "$CLUSTER_FILE" "$CLUSTER_FILE.before-insien"
    printf 'create_main_cluster = false\n' >>"$CLUSTER_FILE"
}

# In a subshell, so that what it changes for a while is put back however it ends.
install_packages() (
    trap allow_service_starts EXIT
    trap 'exit 130' INT TERM
    forbid_service_starts
    [[ " $* " != *" postgresql-15 "* ]] || forbid_postgres_cluster
    apt_install "$@"
)

require_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    say packages "installing ${#missing[@]}: ${missing[*]}"
    [[ " ${missing[*]} " != *" libllhttp-dev "* ]] || pin_llhttp
    quietly "apt-get update failed: check that the Debian mirror $(debian_mirror) can be reached and /etc/apt is right, then run it again." \
        apt-get update -qq
    require_candidates "${missing[@]}"
    quietly "some packages could not be installed: see the lines above, repair (often 'apt-get -f install'), and run it again." \
        install_packages "${missing[@]}"
}

require_candidates() {
    local known name unknown=()
    known=" $(apt-cache policy "$@" 2>/dev/null |
        awk '/^[^ ]/ {name = $1} /^  Candidate:/ && $2 != "(none)" {printf "%s ", name}')"
    for name in "$@"; do
        [[ $known == *" $name: "* ]] || unknown+=("$name")
    done
    [ "${#unknown[@]}" = 0 ] ||
        die "the Debian mirror $(debian_mirror) does not answer or does not offer ${unknown[*]}: check the network and /etc/apt, then run it again."
}
