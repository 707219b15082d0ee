#!/bin/sh
# Runs in the build stage of Dockerfile: compiles the binary where the context brings none, and lays
# out the final image in $1 (root's) and /own (the services' user's).
set -eu
image=$1
cd /src

binary=prebuilt/skywire
if [ ! -f "$binary" ]; then
    cmake --preset release -D SKYWIRE_COMMIT="${SKYWIRE_COMMIT:-unknown}" \
        -D SKYWIRE_DATE="${SKYWIRE_DATE:-unknown}"
    cmake --build --preset release -j "${BUILD_JOBS:-$(nproc)}" --target skywire
    mkdir -p prebuilt
    strip -o "$binary" build/release/skywire
fi

sh docker/collect.sh "$image" "$binary" /usr/bin/skywire
mkdir -p "$image/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
echo 'skywire:x:65532:65532:skywire:/var/lib/skywire:/usr/sbin/nologin' >"$image/etc/passwd"
echo 'skywire:x:65532:' >"$image/etc/group"
mkdir -p /own/var/lib/skywire /own/run/skywire /own/tmp
chmod 700 /own/var/lib/skywire /own/run/skywire
