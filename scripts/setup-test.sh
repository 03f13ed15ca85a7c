#!/bin/sh
# The programs that the gateway is tested against. None of them is needed to run it.
set -eu
cd "$(dirname "$0")"
kamailio_was_there=$([ -x /usr/sbin/kamailio ] && echo yes || true)

./install.sh setup-test <<'LIST'
sip-tester                      SIPp, the load caller
baresip-core                    baresip, the softphone
opus-tools                      opusdec, which plays recordings as Opus
kamailio                        the registrar and proxy that plays the carrier
asterisk-core-sounds-en-wav     sentences spoken by a person, for the caller to say
asterisk-core-sounds-en         what is said in each of them
wrk                             the load of bench-api
jq                              reads answers in the commands of docs/api.md
python3                         a client's own server, in tests of the API
systemd                         systemd-analyze checks the service unit
python3-venv                    a folder of its own for schemathesis, which asks the HTTP interface anything
curl                            the client that docs/api.md shows
openssl                         certificates for HTTPS
LIST

# The package starts a server on port 5060, which only the tests would use, and they start their own.
if [ -z "$kamailio_was_there" ] && [ -d /run/systemd/system ]; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root systemctl disable --quiet --now kamailio
    echo "setup-test: the kamailio service, which the package starts, is stopped and disabled again"
fi

# schemathesis is in no Debian. It gets a folder of its own, and again when the pinned versions change.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/offhook/test-tools/schemathesis
if ! cmp -s schemathesis.txt "$tools/installed.txt"; then
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement schemathesis.txt
    cp schemathesis.txt "$tools/installed.txt"
fi
