# shellcheck shell=bash
# Sandbox images. Each carries a tag made of a hash of what it was built from, :latest, which templates
# name, and one for each deployment that uses it. It is built when the first of them is missing.

DEBIAN_IMAGE=debian:bookworm-slim
LANGUAGE_IMAGES=(python node go rust java cpp)
PULL_ANSWER_S=10
PULL_LIMIT_S=300

image_exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

user_tag() {
    printf 'for-%s' "$INSIEN_INSTANCE"
}

folder_hash() {
    (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
}

# ensure_image NAME CONTEXT: the content of the context folder is what the hash is of.
ensure_image() {
    local name=insien/$1 context=$2 hash
    hash=$(folder_hash "$context")
    if ! image_exists "$name:$hash"; then
        say images "building $name"
        quietly "$name can't be built: the lines above say why (is the Debian mirror reachable from containers?)." \
            build_image "$name:$hash" "$1" "$context"
    fi
    docker tag "$name:$hash" "$name:latest"
    docker tag "$name:$hash" "$name:$(user_tag)"
}

# Not BuildKit, which Debian's client lacks. Without a default bridge builds use the host's network.
build_image() {
    local network=()
    docker network inspect bridge >/dev/null 2>&1 || network=(--network host)
    DOCKER_BUILDKIT=0 docker build "${network[@]}" --force-rm -t "$1" \
        --label "insien.instance=$INSIEN_INSTANCE" --label "insien.image=$2" "$3"
}

# The languages that SANDBOX_IMAGES names ("all": each), one a line. Each takes a minute or two the first
# time, and its template waits for nothing else.
wanted_languages() {
    local name wanted=${SANDBOX_IMAGES:-}
    wanted=" ${wanted//,/ } "
    for name in $wanted; do
        [[ " all base tiny ${LANGUAGE_IMAGES[*]} " == *" $name "* ]] ||
            die "SANDBOX_IMAGES: there is no image $name (all, or some of: ${LANGUAGE_IMAGES[*]})."
    done
    for name in "${LANGUAGE_IMAGES[@]}"; do
        [[ $wanted != *" all "* && $wanted != *" $name "* ]] || printf '%s\n' "$name"
    done
}

ensure_images() {
    local name languages
    languages=$(wanted_languages)
    for name in base $languages; do
        if ! image_exists "insien/$name:$(folder_hash "$DEPLOY_DIR/images/$name")"; then
            ensure_debian_image
        fi
        ensure_image "$name" "$DEPLOY_DIR/images/$name"
    done
    ensure_tiny_image
    say images "insien/base, insien/tiny${languages:+ and those of ${languages//$'\n'/, }} are there"
}

ensure_tiny_image() {
    local context
    context=$(mktemp -d)
    cp "$DEPLOY_DIR/images/tiny/Dockerfile" "$(command -v busybox)" "$context/"
    ensure_image tiny "$context"
    rm -rf "$context"
}

ensure_debian_image() {
    ! image_exists "$DEBIAN_IMAGE" || return 0
    ! pull_debian || return 0
    say images "no registry answers; making $DEBIAN_IMAGE from the Debian mirror"
    quietly "debootstrap failed: check that the Debian mirror $(debian_mirror) can be reached, then run it again." \
        bootstrap_debian
}

# Gives up early when no registry answers, and late when one does but is slow.
pull_debian() {
    local output pid deadline=$((SECONDS + PULL_ANSWER_S)) result=1
    output=$(mktemp)
    timeout "$PULL_LIMIT_S" docker pull "$DEBIAN_IMAGE" >"$output" 2>&1 9>&- &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ] && ! grep -q 'Pulling from' "$output"; then
            kill "$pid" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
    ! wait "$pid" || result=0
    cat "$output" >>"$STEP_LOG"
    rm -f "$output"
    [ "$result" != 0 ] || say images "pulled $DEBIAN_IMAGE"
    return "$result"
}

bootstrap_debian() (
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    mirror=$(debian_mirror)
    debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" || {
        tail -n 5 "$root/debootstrap/debootstrap.log" 2>/dev/null
        return 1
    }
    write_apt_files "$root" "$mirror"
    chroot "$root" apt-get clean
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root/etc/hostname" "$root/etc/resolv.conf"
    tar -C "$root" --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/locale/*' --exclude='./dev/*' -c . |
        docker import --change 'CMD ["bash"]' \
            --change "LABEL insien.instance=$INSIEN_INSTANCE insien.image=debian" - "$DEBIAN_IMAGE"
)

# Layers stay small, lists stay lean, and security updates come from where the machine gets them.
write_apt_files() {
    local root=$1 mirror=$2 security
    cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'A'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
A
    cat >"$root/etc/apt/apt.conf.d/docker-slim" <<'A'
Acquire::GzipIndexes "true";
Acquire::Languages "none";
APT::Install-Recommends "false";
A
    printf 'deb %s bookworm main\n' "$mirror" >"$root/etc/apt/sources.list"
    if grep -rqs '^Suites:.*bookworm-updates\|^deb.* bookworm-updates ' /etc/apt/sources.list /etc/apt/sources.list.d; then
        printf 'deb %s bookworm-updates main\n' "$mirror" >>"$root/etc/apt/sources.list"
    fi
    security=$(grep -rhosE '[a-z+]+://[^ ]*debian-security' /etc/apt/sources.list /etc/apt/sources.list.d | grep -v snapshot | head -n 1 || true)
    [ -z "$security" ] ||
        printf 'deb %s bookworm-security main\n' "$security" >>"$root/etc/apt/sources.list"
}
