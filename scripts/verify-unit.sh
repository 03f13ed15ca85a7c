#!/bin/sh
# systemd's own opinion of the service unit: no error, no warning, and an exposure that stays low.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The unit names an installed binary, which a build machine does not have.
sed "s,/usr/bin/offhook,/bin/true," systemd/offhook.service >"$folder/offhook.service"
systemd-analyze verify --man=no --recursive-errors=no "$folder/offhook.service" >"$folder/said" 2>&1 || {
    cat "$folder/said" >&2
    exit 1
}
if [ -s "$folder/said" ]; then
    cat "$folder/said" >&2
    exit 1
fi
# From 0 (locked up) to 10 (naked), times ten.
systemd-analyze security --offline=true --no-pager --threshold=20 "$folder/offhook.service" >"$folder/said" 2>&1 || {
    cat "$folder/said" >&2
    exit 1
}
tail -n 1 "$folder/said"
