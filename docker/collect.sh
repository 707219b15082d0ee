#!/bin/sh
# collect.sh IMAGE PROGRAM TARGET: copies the program to IMAGE/TARGET, and the loader and the
# libraries that it is linked with to where they lie here.
set -eu
image=$1
program=$2
target=$3
mkdir -p "$image$(dirname "$target")"
cp -L "$program" "$image$target"
chmod 755 "$image$target"
linked=$(ldd "$program")
case "$linked" in
*'not found'*)
    echo "$program is linked with libraries that this image does not have:" >&2
    echo "$linked" | grep 'not found' >&2
    exit 1
    ;;
esac
for library in $(echo "$linked" | sed -n -E 's/^[^/]*(\/[^ ]+) \(0x.*$/\1/p'); do
    mkdir -p "$image$(dirname "$library")"
    cp -L "$library" "$image$library"
done
