#!/usr/bin/env bash
# One phase of a make target: a heading, the command, and how long it took.
#   phase.sh [-q | -a] NAME COMMAND [ARGUMENT…]
# -q keeps a command that only matters when it fails out of sight (on a terminal it may still show its progress).
# -a leaves it the terminal, for progress bars, and keeps no log.
# All output is kept in $OFFHOOK_LOGS (default target/logs), from which the summary counts the tests.
set -uo pipefail
how=log
case $1 in
-q) how=quiet ;;
-a) how=attached ;;
esac
[ "$how" = log ] || shift
name=$1
shift
logs=${OFFHOOK_LOGS:-target/logs}
mkdir -p "$logs"
log=$logs/${name//[^A-Za-z0-9]/-}.log

printf '==> %s\n' "$name"
start=$SECONDS
if [ "$how" = log ]; then
    "$@" 2>&1 | tee "$log"
    status=$?
elif [ "$how" = attached ] || [ -t 2 ]; then
    "$@"
    status=$?
else
    "$@" >"$log" 2>&1
    status=$?
    if [ "$status" != 0 ]; then
        tail -n 120 "$log"
    fi
fi
took=$((SECONDS - start))
if [ "$status" = 0 ]; then
    printf '    %s: %d s\n' "$name" "$took"
    printf '%s\t%s\n' "$name" "$took" >>"$logs/durations"
else
    printf '    %s FAILED after %d s (status %d); everything it said: %s\n' "$name" "$took" "$status" "$log" >&2
fi
exit "$status"
