#!/bin/sh
# Serves the example and says what to try: run.sh [PORT]
cd "$(dirname "$0")"
port=${1:-8000}
cat <<EOF
Serving examples/orders on http://127.0.0.1:$port with --timeout 5. In another terminal, try

    curl -i http://127.0.0.1:$port/          a normal answer
    curl -i http://127.0.0.1:$port/sleep     after 5 s a 500 with a reference; the log below says why
    curl -i http://127.0.0.1:$port/compute   also /regex /hash /wait /lock

    .venv/bin/tricornctl explain REF --report build/report.jsonl     all that is known about one of them

Stop with Ctrl-C.
EOF
mkdir -p ../../build
exec ../../.venv/bin/tricorn app:app -b "127.0.0.1:$port" -w 2 --timeout 5 --access-logfile - --report ../../build/report.jsonl
