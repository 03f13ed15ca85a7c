#!/usr/bin/env bash
# The last lines of `make test`: how long each phase took, and the tests of all test runners together.
set -euo pipefail
logs=${OFFHOOK_LOGS:-target/logs}
echo "==> summary"
awk -F'\t' '{ printf "    %-44s %5d s\n", $1, $2; all += $2 } END { printf "    %-44s %5d s\n", "all", all }' "$logs/durations"
cat "$logs"/*.log | awk '
    /^test result: / {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^failed/) failed += $i
            if ($(i + 1) ~ /^ignored/) ignored += $i
        }
    }
    END { printf "offhook: %d passed, %d failed, %d skipped\n", passed, failed, ignored }'
