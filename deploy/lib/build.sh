# shellcheck shell=bash
# Compiles the services and installs them where their users can reach them.

build_services() {
    local began=$SECONDS before after
    before=$(program_hash)
    if ! grep -qs "^CMAKE_INSTALL_PREFIX:PATH=$PREFIX$" "$BUILD_DIR/CMakeCache.txt" ||
        [ ! -f "$BUILD_DIR/build.ninja" ]; then
        say build "compiling ($INSIEN_BUILD_TYPE); a minute or two the first time"
        mkdir -p "$BUILD_DIR"
        quietly "cmake can't configure the build: the lines above say what is missing." \
            cmake -S "$SOURCE_DIR" -B "$BUILD_DIR" -G Ninja -DCMAKE_BUILD_TYPE="$INSIEN_BUILD_TYPE" \
            -DCMAKE_INSTALL_PREFIX="$PREFIX" -DINSIEN_TESTS=OFF
    fi
    quietly "the services do not compile: the lines above say where." ninja -C "$BUILD_DIR"
    quietly "the services can't be installed into $PREFIX: the lines above say why." \
        cmake --install "$BUILD_DIR"
    after=$(program_hash)
    if [ "$before" = "$after" ]; then
        say build "up to date ($INSIEN_BUILD_TYPE)"
    else
        say build "new programs after $((SECONDS - began)) s ($INSIEN_BUILD_TYPE)"
    fi
}

program_hash() {
    { cat "$PREFIX"/bin/* "$PREFIX/share/insien/insien-agent.tar" 2>/dev/null || true; } | sha256sum
}
