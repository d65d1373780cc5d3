#!/bin/sh
# Makes a virtual environment with Tricorn built into it: tools/setup.sh VENV PYTHON
# Installs missing Debian packages when it may; otherwise names them. Does nothing when all is up to date.
set -eu
cd "$(dirname "$0")/.."
venv=$1
python=$2

packages="g++ cmake ninja-build ccache pkg-config libfmt-dev nlohmann-json3-dev libgtest-dev"
tests="redis-server postgresql wrk apache2-utils curl iproute2 nginx haproxy systemd e2fsprogs util-linux"
missing=""
for package in $packages ${WITH_TEST_PACKAGES:+$tests}; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if ! "$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then
    missing="$missing python3-dev"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo"; else
        echo "These Debian packages are needed and this user may not install them: apt-get install$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    $as_root apt-get update -qq
    # A service that apt starts by itself would only be in the way: the tests start their own.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
stamp="$venv/.built"
sources="src python cmake CMakeLists.txt pyproject.toml tests/requirements.txt"
if [ ! -e "$stamp" ] || [ -n "$(find $sources -newer "$stamp" -type f ! -name '*_test.cc' ! -name '*.pyc' | head -1)" ]; then
    echo "setup: building Tricorn into $venv with $("$python" -V)"
    "$venv/bin/pip" install -q --disable-pip-version-check -r tests/requirements.txt
    CMAKE_CXX_COMPILER_LAUNCHER=$(command -v ccache || true) "$venv/bin/pip" install -q --disable-pip-version-check .
    touch "$stamp"
fi
echo "setup: $("$venv/bin/tricorn" --version) in $venv"
