#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing: `setup.sh build` what the binary needs, `setup.sh`
# what tests and checks need too, `setup.sh containers` what containers need. As root, or through sudo;
# without either it prints the line to type. `setup.sh list-build` prints the names of the first.
set -euo pipefail

build=(
    clang-19 cmake ninja-build ccache mold pkg-config git ca-certificates
    libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev
    libssl-dev libsecp256k1-dev libhiredis-dev libsqlite3-dev zlib1g-dev
    libfmt-dev libspdlog-dev catch2 libcli11-dev libgoogle-perftools-dev prometheus-cpp-dev
)
test=(
    libclang-rt-19-dev clang-tidy-19 clang-format-19 llvm-19 google-perftools redis-server
    python3 procps wrk
    chromium-headless-shell fonts-dejavu-core
)

# Engine and compose of Debian; apparmor: where the kernel has it, the engine wants its parser;
# iptables, iproute2: the engine and the tests' cut links; mmdebstrap: images without a registry;
# binutils: strip, where the binary comes from elsewhere.
containers=(
    docker.io docker-compose apparmor iptables iproute2 mmdebstrap binutils python3 procps util-linux
)
# An engine from elsewhere would have to go for Debian's.
if [ -x /usr/bin/dockerd ] && ! dpkg-query -W -f '${Status}' docker.io 2>/dev/null | grep -q 'ok installed'
then
    containers=("${containers[@]:1}")
fi

case ${1:-all} in
list-build) printf '%s\n' "${build[@]}"; exit 0 ;;
build) wanted=("${build[@]}") ;;
containers) wanted=("${containers[@]}") ;;
all) wanted=("${build[@]}" "${test[@]}") ;;
*) echo "setup.sh [build | containers | list-build]" >&2; exit 2 ;;
esac

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends --no-remove "${missing[@]}")
if [ "$(id -u)" = 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && [ -t 0 ]; then
    as_root=(sudo env DEBIAN_FRONTEND=noninteractive)
else
    echo "Missing packages. As root, type:" >&2
    echo "  apt-get update && ${install[*]}" >&2
    exit 1
fi

# Tests start a Redis and an engine of their own; the packages' services must not take their places on
# a real host.
idle=()
if [ -d /run/systemd/system ]; then
    [[ " ${missing[*]} " == *" redis-server "* ]] && idle+=(redis-server.service)
    [[ " ${missing[*]} " == *" docker.io "* ]] && idle+=(docker.service docker.socket containerd.service)
fi
[ ${#idle[@]} = 0 ] || "${as_root[@]}" systemctl mask "${idle[@]}" >/dev/null
echo "installing ${#missing[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
log=$(mktemp)
"${as_root[@]}" "${install[@]}" >"$log" 2>&1 || { tail -n 20 "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
if [ ${#idle[@]} -gt 0 ]; then
    "${as_root[@]}" systemctl unmask "${idle[@]}" >/dev/null
    "${as_root[@]}" systemctl disable "${idle[@]}" >/dev/null 2>&1 || true
fi
