#!/bin/sh
# Runs the test suite of Requests against httpbin served by Tricorn, in sync and gthread workers: requests.sh TRICORN FOLDER
# The suite comes from the package index, as its authors released it. Four of its tests are left out: they need an address
# that swallows packets, and fail on a machine without a way out, whatever the server.
set -eu
tricorn=$(realpath -s "$1")
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
cd "$2"

[ -d venv ] || "$(dirname "$tricorn")/python" -m venv venv
venv/bin/pip install -q requests httpbin==0.10.4 pytest pytest-httpbin==2.1.0 pytest-mock trustme PySocks
version=$(venv/bin/python -c 'import requests; print(requests.__version__)')
[ -d "requests-$version" ] || venv/bin/pip download -q --no-deps --no-binary requests "requests==$version"
[ -d "requests-$version" ] || tar xzf "requests-$version.tar.gz"
packages=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

cd "requests-$version"
for mode in "-k sync -w 2" "-k gthread --threads 4"; do
    echo "suites: requests $version, $mode"
    SERVER="env PYTHONPATH=$packages $tricorn -b 127.0.0.1:{port} $mode --log-level warning httpbin:app" \
        PYTHONPATH="$here" ../venv/bin/pytest -q -p live_httpbin -p no:cacheprovider -W ignore \
        -k 'not connect_timeout and not total_timeout_connect' tests
done
