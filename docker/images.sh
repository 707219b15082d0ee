#!/usr/bin/env bash
# Makes the images of the container forms, without a registry: skywire:e2e and skywire-redis:e2e.
#
#     docker/images.sh                      with build/release/skywire
#     docker/images.sh --binary FILE        with that binary, built on this Debian
#     docker/images.sh --compile            compiles in a container with Debian's compiler
#
# Their base comes from Debian's packages (mmdebstrap) and is made anew when a version has changed.
# Needs root, mmdebstrap and a Docker engine: `make e2e-run` sees to all of that. DEBIAN_MIRROR names
# another mirror than deb.debian.org, BUILD_OPTIONS what `docker build` is to be told beside.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${SKYWIRE_IMAGE_CACHE:-build/docker}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org}
suite=bookworm
runtime=(
    ca-certificates libboost-json1.81.0 libboost-url1.81.0 libfmt9 libgoogle-perftools4
    libhiredis0.14 libprometheus-cpp-core1.0 libsecp256k1-1 libspdlog1.10 libsqlite3-0 libssl3
    libstdc++6 libunwind8 zlib1g redis-server
)

say() { echo "images: $*"; }
fail() { echo "images: $*" >&2; exit 1; }

binary=build/release/skywire
compile=false
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=${2:?--binary FILE}; shift 2 ;;
    --compile) compile=true; shift ;;
    *) fail "unknown option $1 (see the head of docker/images.sh)" ;;
    esac
done
$compile || [ -f "$binary" ] || fail "$binary is not there: make build, or --compile"
docker=/usr/bin/docker
[ -x "$docker" ] || docker=docker
mkdir -p "$cache"

# The versions that apt would install now, and this file.
key_of() {
    { cat docker/images.sh; echo "$mirror"; apt-cache policy "$@" libc6 base-files |
        sed -n -E '/^[^ ]/p; s/^ *Candidate: //p'; } | sha256sum | cut -c1-12
}

# debian_image NAME PACKAGE...: sets `made` to NAME:KEY, which is there then.
debian_image() {
    local name=$1; shift
    made=$name:$(key_of "$@")
    if "$docker" image inspect "$made" >/dev/null 2>&1; then
        say "$made is there"
        return
    fi
    local tar=$cache/${made/:/-}.tar
    if [ ! -f "$tar" ]; then
        say "$made: Debian's packages by mmdebstrap, about a minute"
        [ "$(id -u)" = 0 ] || fail "mmdebstrap needs root"
        command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: tools/setup.sh containers"
        rm -f "$cache/$name"-*.tar
        printf 'deb %s %s main\n' "$mirror/debian" "$suite" "$mirror/debian" "$suite-updates" \
            "$mirror/debian-security" "$suite-security" >"$cache/sources.list"
        mmdebstrap --quiet --format=tar --variant=essential --include="$(IFS=,; echo "$*")" "$suite" \
            "$tar.part" "$cache/sources.list" >"$cache/mmdebstrap.log" 2>&1 ||
            { tail -n 20 "$cache/mmdebstrap.log" >&2; rm -f "$tar.part"; fail "no base image"; }
        mv "$tar.part" "$tar"
    fi
    "$docker" import "$tar" "$made" >/dev/null
    # Those of other versions; one that is in use stays.
    "$docker" image ls --format '{{.Repository}}:{{.Tag}}' "$name" | grep -vFx "$made" |
        xargs -r "$docker" image rm >/dev/null 2>&1 || true
    say "$made imported"
}

# build NAME DOCKERFILE CONTEXT [OPTION...]
build() {
    local name=$1 file=$2 context=$3 log
    shift 3
    log=$(mktemp)
    say "$name"
    DOCKER_BUILDKIT=0 "$docker" build --force-rm -t "$name" -f "$file" ${BUILD_OPTIONS:-} "$@" \
        "$context" >"$log" 2>&1 ||
        {
            tail -n 30 "$log" >&2
            why="could not be built"
            grep -qi 'no space left' "$log" &&
                why="no disk left where the engine keeps its data: make room (docker system df)"
            rm -f "$log"
            fail "$name: $why"
        }
    rm -f "$log"
}

debian_image skywire-base "${runtime[@]}"
base=$made
if $compile; then
    mapfile -t compiler < <(tools/setup.sh list-build)
    debian_image skywire-build "${runtime[@]}" "${compiler[@]}" binutils
    say "compiling; on two cores about 25 minutes"
    build skywire:e2e docker/Dockerfile . --build-arg BUILD_IMAGE="$made" \
        --build-arg SKYWIRE_COMMIT="$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)" \
        --build-arg SKYWIRE_DATE="$(git show -s --format=%cI HEAD 2>/dev/null || echo unknown)" \
        --build-arg BUILD_JOBS="${BUILD_JOBS:-$(nproc)}"
else
    context=$cache/context
    rm -rf "$context"
    mkdir -p "$context/prebuilt" "$context/configs"
    cp -r docker "$context/"
    cp configs/deployment.json "$context/configs/"
    # With its symbols it would be twice as large; what is at build/release keeps them.
    strip -o "$context/prebuilt/skywire" "$binary" 2>/dev/null ||
        llvm-strip-19 -o "$context/prebuilt/skywire" "$binary" || fail "$binary: strip failed"
    build skywire:e2e docker/Dockerfile "$context" --build-arg BUILD_IMAGE="$base"
    rm -rf "$context"
fi
build skywire-redis:e2e docker/redis.Dockerfile docker --build-arg BASE_IMAGE="$base"
"$docker" image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' |
    grep -E '^skywire(-redis)?:e2e ' | sed 's/^/images: /'
