#!/bin/sh
# What bench-quality needs beside the test peers: another peer, and PESQ, which is compiled here.
set -eu
cd "$(dirname "$0")"

./install.sh setup-quality <<'LIST'
asterisk-core-sounds-en-g722    the sentences in a wide band
libmediastreamer-tools          mediastream, the sound of Linphone
python3-venv                    a folder of its own for PESQ
python3-dev                     PESQ is built for this Python
gcc                             and with this compiler
libc6-dev                       and its headers
LIST

# PESQ is in no Debian. It gets a folder of its own, and again when the pinned versions change.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/offhook/test-tools/quality
if ! cmp -s quality.txt "$tools/installed.txt"; then
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --requirement quality.txt
    cp quality.txt "$tools/installed.txt"
fi
