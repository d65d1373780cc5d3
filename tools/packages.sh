#!/bin/sh
# Installs the Debian packages that are missing when it may; otherwise names them: packages.sh PACKAGE...
set -eu
missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
    echo "These Debian packages are needed and this user may not install them: apt-get install$missing" >&2
    exit 1
fi
echo "setup: installing$missing"
$as_root apt-get update -qq
# A service that apt starts by itself would only be in the way: the tests start their own.
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
