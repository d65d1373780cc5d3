#!/bin/sh
# Runs one fuzz target: tools/fuzz.sh TARGET SECONDS. New inputs go to build/fuzz/found/TARGET, so that the next run goes
# on from there; one that breaks a promise is kept as build/fuzz/TARGET-crash-*, for fuzz/corpus/TARGET and a unit test.
set -eu
cd "$(dirname "$0")/.."
target=$1
seconds=$2

found=build/fuzz/found/$target
mkdir -p "$found"
case $target in
h1_head) recorded=tests/protocol ;; # the connections the unit tests replay
doctor) recorded=tests/doctor ;; # the logs the unit tests read
*) recorded= ;;
esac
echo "fuzz: $target for $seconds s"
# shellcheck disable=SC2086  # empty for most targets
exec build/fuzz/fuzz/"$target" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="build/fuzz/$target-" "$found" "fuzz/corpus/$target" $recorded
