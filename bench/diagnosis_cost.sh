#!/bin/sh
# What the record of each request costs: instructions per request of this build and of one without it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-$PWD/.venv/bin/python}
for record in ON OFF; do
    build=build/record-$record
    cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTRICORN_HEARTBEAT=$record -DPython_EXECUTABLE="$python" \
        -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" >/dev/null
    cmake --build "$build" --target _core tricorn-arbiter >/dev/null
    package=$build/package/tricorn
    mkdir -p "$package/bin"
    cp -R python/tricorn/. "$build"/src/_core.*.so "$package"
    cp "$build/src/tricorn-arbiter" "$package/bin"
    echo "TRICORN_HEARTBEAT=$record"
    PYTHONPATH=$PWD/$build/package TRICORN_BIN=$PWD/$package/bin \
        "$python" bench/instructions.py --servers tricorn --cases "${@:-hello}" | tail -1
done
