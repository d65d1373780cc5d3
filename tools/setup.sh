#!/bin/sh
# Makes a virtual environment with Tricorn built into it: tools/setup.sh VENV PYTHON
# Does nothing when all is up to date.
set -eu
cd "$(dirname "$0")/.."
venv=$1
python=$2

packages="g++ cmake ninja-build ccache pkg-config libfmt-dev nlohmann-json3-dev libgtest-dev"
tests="redis-server postgresql wrk apache2-utils curl iproute2 nginx haproxy systemd e2fsprogs util-linux"
python_header='import sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
"$python" -c "$python_header" || packages="$packages python3-dev"
# shellcheck disable=SC2086
sh tools/packages.sh $packages ${WITH_TEST_PACKAGES:+$tests}

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
