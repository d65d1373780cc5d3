#!/bin/sh
# Measures Tricorn beside the servers of bench/peers/servers.toml and files the tables: run.sh [SERVER...]
# CASES, ROUNDS, SECONDS_EACH and OUT change what is measured and where it goes.
set -eu
cd "$(dirname "$0")/.."
peers=build/peers
servers=${*:-gunicorn-sync gunicorn-gthread granian-wsgi bjoern}
out=${OUT:-bench/results/peers-$(date +%F-%H%M)}

for program in wrk openssl taskset python3.11; do
    command -v "$program" >/dev/null || { echo "bench: $program is missing (Debian: wrk openssl util-linux python3.11)" >&2; exit 1; }
done
# shellcheck disable=SC2086
[ -e "$peers/done" ] || { echo "bench: installing $servers into $peers"; bench/peers/setup.sh "$peers" $servers && touch "$peers/done"; }

pattern="^(tricorn-sync|tricorn-gthread|floor: wsgi$(printf '|%s' $servers))\$"
set -- --peers-root "$PWD/$peers" --tricorn "$PWD/.venv/bin/tricorn" --servers "$pattern" \
    --cases "${CASES:-hello,flask,post10k,idle}" --rounds "${ROUNDS:-5}" --seconds "${SECONDS_EACH:-3}" --out "$PWD/$out.json"
command=$(printf " '%s'" "$@" | sed "s|$PWD/||g")
echo "bench: bench.py$command"
{
    printf '# WSGI servers side by side, %s\n\n    bench/peers/bench.py%s\n\n' "$(date +%F)" "$command"
    python3.11 bench/peers/bench.py "$@" || echo "bench: bench.py failed"
} | sed "s|$PWD/||g" >"$out.md"
cat "$out.md"
if grep -q '^bench: bench.py failed' "$out.md"; then exit 1; fi
if grep -q '^Did not start' "$out.md"; then echo "bench: not every server started" >&2; exit 1; fi
echo "bench: $out.md"
