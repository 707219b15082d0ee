#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing: `setup.sh build` what the binary needs, `setup.sh`
# what tests and checks need too. As root, or through sudo; without either it prints the line to type.
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
)

wanted=("${build[@]}")
[ "${1:-all}" = build ] || wanted+=("${test[@]}")

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
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

# Tests start a Redis of their own; the package's service must not take its place on a real host.
mask_redis=false
if [ -d /run/systemd/system ] && [[ " ${missing[*]} " == *" redis-server "* ]]; then
    mask_redis=true
    "${as_root[@]}" systemctl mask redis-server.service >/dev/null
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
log=$(mktemp)
"${as_root[@]}" "${install[@]}" >"$log" 2>&1 || { tail -n 20 "$log" >&2; rm -f "$log"; exit 1; }
rm -f "$log"
if $mask_redis; then
    "${as_root[@]}" systemctl unmask redis-server.service >/dev/null
    "${as_root[@]}" systemctl disable redis-server.service >/dev/null 2>&1 || true
fi
