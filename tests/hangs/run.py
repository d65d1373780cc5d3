"""Runs all troubles and prints what was right: `make hangs`. See --help."""

import argparse
import concurrent.futures
import contextlib
import itertools
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from blackbox.support import site  # noqa: E402
from hangs import trial  # noqa: E402
from hangs.services import Services  # noqa: E402
from hangs.troubles import KNOWN_MISSES, TROUBLES  # noqa: E402


def mark(value):
    return {True: "yes", False: "NO", None: "-"}[value]


def show(outcome, took):
    name = f"{outcome.trouble.path} [{outcome.mode}]"
    if outcome.skipped:
        print(f"SKIPPED  {name:34} {outcome.trouble.cause or 'healthy':22} {outcome.skipped}")
        return
    cells = " ".join(f"{mark(outcome.columns.get(column)):>{len(column)}}" for column in trial.COLUMNS)
    print(f"{'ok      ' if outcome.right else 'MISS    '} {name:34} {outcome.trouble.cause or 'healthy':22} {cells}  {took:4.1f} s", flush=True)
    if not outcome.right:
        for why in outcome.why:
            print(f"         {why}")
        print(f"         {outcome.line}", flush=True)


def run_one(job):
    trouble, mode, services = job
    began = time.monotonic()
    outcome = trial.run(trouble, mode, services)
    show(outcome, time.monotonic() - began)
    return outcome


def summary(outcomes):
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    print(f"\n{'':52}" + " ".join(trial.COLUMNS))
    asked = {column: [outcome.columns[column] for outcome in ran if column in outcome.columns] for column in trial.COLUMNS}
    cells = [f"{sum(values)}/{len(values)}" for values in asked.values()]
    print("right: " + ", ".join(f"{column} {cell}" for column, cell in zip(trial.COLUMNS, cells, strict=True)))
    kinds = {(outcome.trouble.path, outcome.trouble.cause, outcome.trouble.around) for outcome in ran if outcome.trouble.cause}
    controls = {(outcome.trouble.path, outcome.trouble.client) for outcome in ran if not outcome.trouble.cause}
    skipped = [f"{outcome.trouble.path} [{outcome.mode}] ({outcome.skipped})" for outcome in outcomes if outcome.skipped]
    print(f"{len(kinds)} kinds of trouble and {len(controls)} healthy controls, {len(ran)} runs; skipped: {len(skipped)}")
    for entry in skipped:
        print(f"  SKIPPED {entry}")


def arguments_given():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="paths or causes (or the start of one)")
    parser.add_argument("--mode", choices=["sync", "gthread"])
    parser.add_argument("--short", action="store_true", help="the representative part")
    parser.add_argument("--together", type=int, default=6, help="trials that wait, at a time")
    parser.add_argument("--logs", help="folder for the log and report of each miss")
    parser.add_argument("--lines", help="file for one log line of each class, as causes.def has them")
    return parser.parse_args()


def wanted(trouble, given):
    if given.short and not trouble.short and trouble.cause:
        return False
    if not given.only:
        return True
    return any(trouble.path == name or trouble.cause.startswith(name) for name in given.only)


def keep_logs(outcome, folder):
    name = f"{outcome.trouble.path}-{outcome.trouble.cause or 'healthy'}-{outcome.mode}"
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, name).write_text(outcome.log + "\n" + outcome.report)


def keep_lines(outcomes, path):
    lines = {}
    for outcome in outcomes:
        if outcome.trouble.cause and outcome.right and outcome.line:
            lines.setdefault(outcome.trouble.cause, re.sub(r"^\[[^]]+\] \[\d+\] ", "", outcome.line))
    Path(path).write_text("".join(f"{cause}\t{line}\n" for cause, line in sorted(lines.items())))


def run_all(given):
    jobs = [
        (trouble, mode) for trouble in TROUBLES if wanted(trouble, given) for mode in trouble.modes if given.mode in (None, mode)
    ]
    print(f"{'':9}{'path [worker]':34} {'cause':22} " + " ".join(trial.COLUMNS))
    outcomes = []
    with contextlib.ExitStack() as stack:
        services = Services(stack)
        # What waits needs no CPU; what computes gets the machine to itself, or it would be called starved.
        alone = [(trouble, mode, services) for trouble, mode in jobs if trouble.alone]
        beside = [(trouble, mode, services) for trouble, mode in jobs if not trouble.alone]
        outcomes += map(run_one, alone)
        with concurrent.futures.ThreadPoolExecutor(given.together) as pool:
            outcomes += pool.map(run_one, beside)
    return outcomes


def main():
    given = arguments_given()
    outcomes = run_all(given)
    summary(outcomes)
    if given.lines:
        keep_lines(outcomes, given.lines)
    wrong = [outcome for outcome in outcomes if not outcome.right]
    for outcome in wrong:
        if given.logs:
            keep_logs(outcome, given.logs)
    unexplained = [outcome for outcome in wrong if (outcome.trouble.path, outcome.mode) not in KNOWN_MISSES]
    for outcome in wrong:
        why = KNOWN_MISSES.get((outcome.trouble.path, outcome.mode), "NOT EXPLAINED")
        print(f"miss: {outcome.trouble.path} [{outcome.mode}]: {why}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    # Runs beside this one choose other ports.
    site.PORTS = itertools.count(20_000 + os.getpid() % 1_000 * 12)
    sys.exit(main())
