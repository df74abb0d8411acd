#!/bin/bash
# Makes what clevis-pkcs11.json holds, on a Debian testing with clevis, opensc, jose, openssl and
# softhsm2 (root in a tree of debootstrap will do): a key, and bindings to it by the real clevis,
# printed one after the other. Every run draws a new key.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/tokens"
export LC_ALL=C SOFTHSM2_CONF="$folder/softhsm2.conf"
echo "directories.tokendir = $folder/tokens" >"$SOFTHSM2_CONF"
module=/usr/lib/softhsm/libsofthsm2.so
softhsm2-util --init-token --free --label ops --pin 1234 --so-pin 5678 >/dev/null
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$folder/key.pem" 2>/dev/null
softhsm2-util --import "$folder/key.pem" --token ops --label disk --id 01 --pin 1234 >/dev/null
cat "$folder/key.pem"
for uri in "pkcs11:token=ops?module-path=$module" "pkcs11:slot-id=0;module-path=$module?pin-value=1234"; do
  printf secret | clevis encrypt pkcs11 "{\"uri\":\"$uri\",\"mechanism\":\"RSA-PKCS\"}"
  echo
done
