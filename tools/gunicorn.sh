#!/bin/sh
# Installs the Gunicorn that Tricorn is compared with: gunicorn.sh VENV PYTHON. Idempotent.
set -eu
venv=$1
python=$2
[ -x "$venv/bin/gunicorn" ] || { "$python" -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check gunicorn==27.0.1; }
