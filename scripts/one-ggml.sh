#!/bin/sh
# whisper.cpp and llama.cpp each bring their own ggml. Two of them in one artefact link without a word and run on one
# another's code, so no package of this workspace may depend on both, and the gateway on neither.
set -eu
status=0
packages=$(cargo tree --workspace --depth 0 --prefix none --format '{p}' | awk 'NF { print $1 }' | sort -u)
for package in $packages; do
    ggml=$(cargo tree --package "$package" --edges normal,build,dev --target all --prefix none --format '{p}' |
        awk '$1 == "whisper-rs-sys" || $1 == "llama-cpp-sys-2" { print $1 }' | sort -u | tr '\n' ' ')
    case "$package:$ggml" in
    *": " | *":") ;;
    *" "*" ")
        echo "$package links two ggmls: $ggml" >&2
        status=1
        ;;
    offhook-whisper:* | offhook-llama:*) ;;
    *)
        echo "$package depends on $ggml; only its own engine may" >&2
        status=1
        ;;
    esac
done
[ "$status" = 0 ] && echo "no artefact holds two ggmls, and the gateway none"
exit "$status"
