#!/bin/sh
# Every Rust crate that we build with, of all packages and targets, is under a licence that docs/licences.md names; and
# of the programs that are built, only the Piper engine needs espeak-ng (GPL-3).
set -eu
cd "$(dirname "$0")/.."
for program in offhook offhook-whisper offhook-turn offhook-llama; do
    built=${CARGO_TARGET_DIR:-target}/release/$program
    if [ -e "$built" ] && readelf --dynamic "$built" | grep -q 'NEEDED.*espeak'; then
        echo "$built needs espeak-ng; only offhook-piper may" >&2
        exit 1
    fi
done
cargo metadata --format-version 1 --locked | python3 -c '
import json, re, sys

KNOWN = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}
# Only for these, which docs/licences.md says why.
LAME = {"mp3lame-encoder": "LGPL-3.0", "mp3lame-sys": "LGPL-3.0"}
# Crates that carry a text in place of a name; read, and found to be one of the above.
READ = {"rsip": "MIT", "rsip-derives": "MIT"}

def free(expression):
    """Whether an SPDX expression can be fulfilled with known licences alone. A slash is the old way of writing OR."""
    tokens = re.findall(r"\(|\)|[^()\s/]+|/", expression.replace(" WITH ", "_WITH_"))
    def either():
        value = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            value = both() or value
        return value
    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value
    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        return token.replace("_WITH_", " WITH ") in KNOWN
    return either()

crates = [p for p in json.load(sys.stdin)["packages"] if p["source"]]
known = lambda p: p["name"] in READ or LAME.get(p["name"], "") == p["license"]
bad = [p for p in crates if not known(p) and not (p["license"] and free(p["license"]))]
for p in bad:
    print("%s %s is under %s" % (p["name"], p["version"], p["license"] or p["license_file"]), file=sys.stderr)
print("%d crates under licences that docs/licences.md names, %d not" % (len(crates) - len(bad), len(bad)))
sys.exit(bool(bad))'
