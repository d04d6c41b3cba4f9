# shellcheck shell=bash
# Certificates by which the services know each other over tls+tcp://: an authority of our own, and for
# each service one that names its role. What checks them is common/ipc/tls.c.

CA_DAYS=3650
CERT_DAYS=397
RENEW_DAYS=30 # before its end a certificate is made anew

declare -A CERT_USAGE=([gateway]=clientAuth [auth]=serverAuth [sandbox]=serverAuth)

speaks_tls() {
    [[ " ${AUTH_LISTEN:-} ${SANDBOX_LISTEN:-} ${AUTH_IPC:-},${SANDBOX_IPC:-}" == *tls+tcp://* ]]
}

make_key() {
    (umask 077 && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1") 2>&1
}

# make_ca FOLDER
make_ca() {
    make_key "$1/ca.key.new"
    openssl req -new -x509 -key "$1/ca.key.new" -out "$1/ca.pem.new" -days "$CA_DAYS" \
        -subj "/O=Insien Sandbox/CN=services $(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign
    mv "$1/ca.key.new" "$1/ca.key"
    mv "$1/ca.pem.new" "$1/ca.pem"
}

# make_certificate FOLDER ROLE
make_certificate() {
    local new=$1/$2.new
    make_key "$new.key"
    openssl req -new -key "$new.key" -subj "/O=Insien Sandbox/CN=$2" |
        openssl x509 -req -CA "$1/ca.pem" -CAkey "$1/ca.key" -days "$CERT_DAYS" -sha256 \
            -set_serial "0x$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n' | sed 's/^./4/')" \
            -extfile <(printf '%s\n' basicConstraints=critical,CA:FALSE \
                keyUsage=critical,digitalSignature "extendedKeyUsage=${CERT_USAGE[$2]}" \
                "subjectAltName=DNS:$2.insien.internal") -out "$new.pem"
    chmod 0644 "$new.pem"
    mv "$new.key" "$1/$2.key"
    mv "$new.pem" "$1/$2.pem"
}

# is_good FOLDER ROLE: issued by that authority, and for a while yet.
is_good() {
    [ -s "$1/$2.key" ] && openssl verify -CAfile "$1/ca.pem" "$1/$2.pem" >/dev/null 2>&1 &&
        openssl x509 -in "$1/$2.pem" -noout -checkend $((RENEW_DAYS * 86400)) >/dev/null
}

# make_certificates FOLDER [RENEW]: makes what is missing or about to end; with RENEW all but the
# authority.
make_certificates() {
    local role
    install -d -m 0711 "$1"
    if [ ! -e "$1/ca.pem" ]; then
        say certs "making an authority in $1"
        quietly "the authority can't be made: the lines above say why." make_ca "$1"
    fi
    openssl x509 -in "$1/ca.pem" -noout -checkend $((RENEW_DAYS * 86400)) >/dev/null ||
        die "the authority $1/ca.pem ends within $RENEW_DAYS days: move the folder away and run this again, for all machines."
    for role in gateway auth sandbox; do
        [ -n "${2:-}" ] || ! is_good "$1" "$role" || continue
        [ -e "$1/ca.key" ] ||
            die "$1/$role.pem is missing or ends within $RENEW_DAYS days, and ca.key is not there to make another: run deploy/certs where it is and copy $role.pem and $role.key."
        say certs "making one for $role, good for $CERT_DAYS days"
        quietly "the certificate can't be made: the lines above say why." make_certificate "$1" "$role"
    done
}

# What the services are told; nothing while they speak over sockets of this machine.
prepare_certificates() {
    local role cert key
    speaks_tls || return 0
    if [ "$IPC_CERTS_DIR" = "$DATA_DIR/certs" ]; then
        make_certificates "$IPC_CERTS_DIR"
    fi
    IPC_CA_FILE=$IPC_CERTS_DIR/ca.pem
    for role in gateway auth sandbox; do
        cert=${role^^}_CERT_FILE
        key=${role^^}_KEY_FILE
        printf -v "$cert" '%s' "$IPC_CERTS_DIR/$role.pem"
        printf -v "$key" '%s' "$IPC_CERTS_DIR/$role.key"
        if [ ! -r "${!cert}" ] || [ ! -r "${!key}" ]; then
            die "${!cert} and ${!key} are needed for tls+tcp://: copy them from where deploy/certs made them, or set IPC_CERTS_DIR."
        fi
    done
}
