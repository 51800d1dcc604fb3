#!/usr/bin/env bash
# Regenerates the certificates in this folder: a root, an intermediate and a leaf with RSA-2048
# keys, like AWS's own chains. They are for the loopback address only, and valid for a hundred
# years. The private key is public: never trust them elsewhere.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

request() {
    openssl req -new -newkey rsa:2048 -nodes -keyout "$work/$1.key" -out "$work/$1.csr" \
        -subj "/O=Test only/CN=$2" 2> "$work/log"
}

sign() {
    local name=$1
    shift
    openssl x509 -req -days 36500 -sha256 -in "$work/$name.csr" -out "$work/$name.pem" \
        -extfile "$work/$name.ext" "$@" 2> "$work/log"
}

ca="basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash"
echo "$ca" > "$work/root.ext"
echo "$ca" > "$work/intermediate.ext"
cat > "$work/leaf.ext" <<END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,IP:127.0.0.1
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
END

request root "Test root"
sign root -signkey "$work/root.key"
request intermediate "Test intermediate"
sign intermediate -CA "$work/root.pem" -CAkey "$work/root.key" -CAcreateserial
request leaf localhost
sign leaf -CA "$work/intermediate.pem" -CAkey "$work/intermediate.key" -CAcreateserial

cp "$work/root.pem" root.pem
cat "$work/leaf.pem" "$work/intermediate.pem" > chain.pem
cp "$work/leaf.key" TEST-ONLY.key
