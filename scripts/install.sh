#!/bin/sh
# Installs the Debian packages named on standard input, one a line: NAME, then why.
# Does nothing, at once, when all of them are there. Usage: install.sh TITLE < list
set -eu
title=$1
list=$(cat)
names=$(printf '%s\n' "$list" | awk 'NF { print $1 }')

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    {
        echo "$title: this is no Debian (there is no apt-get). offhook is built and tested on Debian 12."
        echo "Elsewhere, install what corresponds to these Debian packages, then set OFFHOOK_SKIP_SETUP=1:"
        printf '%s\n' "$list" | sed 's/^/  /'
    } >&2
    [ "${OFFHOOK_SKIP_SETUP:-}" = 1 ] && exit 0
    exit 69
fi

# shellcheck disable=SC2086 # the names are words
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $names 2>/dev/null | awk '$2 == "installed" { print $1 }')
missing=
for name in $names; do
    printf '%s\n' "$installed" | grep -qxF "$name" || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "$title: these packages are missing, and there is no sudo. As root, run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
    exit 77
fi

echo "$title: installing from Debian:"
for name in $missing; do
    printf '%s\n' "$list" | awk -v name="$name" '$1 == name { $1 = ""; printf "  %-28s%s\n", name, $0 }'
done
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
    $as_root env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 && return
    status=$?
    tail -n 30 "$log" >&2
    echo "$title: \`$*\` failed (the end of what it said stands above)." >&2
    exit "$status"
}
run apt-get update -q
# shellcheck disable=SC2086 # the names are words
run apt-get install -q -y --no-install-recommends $missing
