#!/bin/sh
# Prints the Pythons Tricorn can be built with, one path a line, the one to use first on top, one for each
# version: from PATH and from pyenv, if that is there. TRICORN_PYTHONS names others.
candidates=${TRICORN_PYTHONS:-python3.11 python3.13 python3.12 python3.10 python3}
if [ -z "${TRICORN_PYTHONS:-}" ] && command -v pyenv >/dev/null; then
    for minor in 11 13 12 10; do
        candidates="$candidates $(ls -d "$(pyenv root)"/versions/3.$minor.*/bin/python3.$minor 2>/dev/null | tail -1)"
    done
fi
for name in $candidates; do
    path=$(command -v "$name" 2>/dev/null) || continue
    # A shim on PATH need not work: ask the interpreter itself, and for its headers and venv.
    "$path" - <<'PY' 2>/dev/null || continue
import os, sys, sysconfig, venv, ensurepip
good = sys.version_info >= (3, 10) and os.path.exists(sysconfig.get_path("include") + "/Python.h")
print("%d.%d" % sys.version_info[:2], sys.executable) if good else sys.exit(1)
PY
done | awk '!seen[$1]++ {print $2}'
