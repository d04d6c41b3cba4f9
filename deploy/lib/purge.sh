# shellcheck shell=bash
# Removes what this instance made, and nothing else: Docker objects by label, rules by chain name,
# folders by the names that deploy/up gives them.

LABEL_FILTER="label=insien.instance"
AGENT_VOLUMES=insien-agent- # the volumes that hold the agent, by content; shared

labelled() {
    docker "$@" --filter "$LABEL_FILTER=$INSIEN_INSTANCE" 2>/dev/null
}

# remove_each COMMAND...: one call for each id on standard input.
remove_each() {
    local id
    while read -r id; do
        "$@" "$id" >>"$STEP_LOG" 2>&1 </dev/null || printf 'could not: %s %s\n' "$*" "$id" >>"$STEP_LOG"
    done
}

purge_docker() {
    local ids
    ids=$(labelled ps -aq)
    [ -z "$ids" ] || say docker "removing $(wc -l <<<"$ids") containers"
    [ -z "$ids" ] || xargs -r docker rm -f -v <<<"$ids" >>"$STEP_LOG" 2>&1 || true
    labelled network ls -q | remove_each docker network rm
    labelled volume ls -q | { grep -v "^$AGENT_VOLUMES" || true; } | remove_each docker volume rm
    purge_images
    purge_agent_volumes
    [ -n "$(docker images -q 'insien/*:for-*')" ] || purge_shared
}

# Those that no container uses, and no running sandbox-service will: each deployment looks for the one
# that is named after its bundle.
purge_agent_volumes() {
    docker volume ls -q --filter dangling=true --filter "name=$AGENT_VOLUMES" |
        { grep -vxFf <(current_agent_volumes) || true; } | remove_each docker volume rm
}

current_agent_volumes() {
    local pid bundle
    for pid in $(pidof insien-sandbox); do
        bundle=$(cat "/proc/$pid/environ" 2>/dev/null | tr '\0' '\n' | sed -n 's/^AGENT_BUNDLE=//p') || continue
        [ ! -r "$bundle" ] || printf '%s%s\n' "$AGENT_VOLUMES" "$(sha256sum "$bundle" | cut -c1-12)"
    done
}

# An image that another deployment on this engine uses too stays, and so do images that somebody built
# upon ours.
purge_images() {
    local name tags
    docker images --format '{{.Repository}}:{{.Tag}}' "$INSIEN_INSTANCE/template" | remove_each docker rmi
    [ -n "$(docker images -q "insien/*:$(user_tag)")" ] || return 0
    say images "removing those that no other deployment uses"
    for name in base tiny "${LANGUAGE_IMAGES[@]}"; do
        name=insien/$name
        docker rmi "$name:$(user_tag)" >>"$STEP_LOG" 2>&1 || true
        image_tags "$name" | while read -r tags; do
            [[ $tags == *":for-"* ]] || tr ' ' '\n' <<<"$tags" | sed '/^$/d' | remove_each docker rmi
        done
    done
}

# What all deployments on an engine have in common goes with the last of them.
purge_shared() {
    docker images -q insien/empty | remove_each docker rmi
    docker images -q --filter dangling=true --filter "$LABEL_FILTER" | remove_each docker rmi
    docker images -q --filter label=insien.image=debian "$DEBIAN_IMAGE" | remove_each docker rmi
}

# Prints a line for each image of that name: all its tags.
image_tags() {
    docker images -q --no-trunc "$1" | sort -u |
        xargs -r docker image inspect --format '{{range .RepoTags}}{{.}} {{end}}'
}

purge_rules() {
    local tables chain="INSIEN-$INSIEN_INSTANCE"
    for tables in iptables ip6tables; do
        command -v "$tables" >/dev/null || continue
        purge_chain "$tables" "$chain"
    done
    if command -v nft >/dev/null; then
        nft delete table inet "insien_${INSIEN_INSTANCE//-/_}" >>"$STEP_LOG" 2>&1 || true
    fi
}

purge_chain() {
    local rule arguments
    while read -r rule; do
        read -ra arguments <<<"-D ${rule#-A }"
        "$1" -w 5 "${arguments[@]}" >>"$STEP_LOG" 2>&1 || true
    done < <("$1" -w 5 -S 2>/dev/null | grep -E -- "^-A .* -j $2$" || true)
    "$1" -w 5 -F "$2" >>"$STEP_LOG" 2>&1 || true
    "$1" -w 5 -X "$2" >>"$STEP_LOG" 2>&1 || true
}

# Volumes that were mounted when the service ended.
purge_volumes() {
    local folder
    for folder in "$DATA_DIR"/volumes/*/; do
        ! mountpoint -q "$folder" || umount "$folder" >>"$STEP_LOG" 2>&1 || true
    done
}

purge_folders() {
    purge_volumes
    rm -rf --one-file-system "$DATA_DIR" "$STATE_DIR/data" "$SERVICE_DIR" "$STATE_DIR/build" "$ENV_FILE" "$STATE_DIR/migrate.env"
    if owns_run_dir; then
        find "$INSIEN_RUN_DIR" -mindepth 1 -delete
        rmdir "$INSIEN_RUN_DIR" 2>/dev/null || true
    fi
    [ -n "$(other_owner "$(instance_mark)")" ] || rm -f "$(instance_mark)"
    STEP_LOG=/dev/null
    rm -rf "$LOG_DIR" "${STATE_DIR:?}/$RECORD_NAME" "$STATE_DIR/lock"
    rmdir "$STATE_DIR" 2>/dev/null || true
}
