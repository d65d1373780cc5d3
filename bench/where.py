#!/usr/bin/env python3
"""Which part of the server spends the instructions of one request: a table from two callgrind runs.

    instructions.py --servers tricorn --cases hello --keep /tmp/profile
    where.py /tmp/profile                       # by folder of src/, Python and the C library
    where.py /tmp/profile --functions 30        # and the most expensive functions

The files of the worker are the largest of `few` and `many`; the difference of the two, divided by the difference of
their requests, leaves out the start.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

LINE = re.compile(r"^\s*([\d,]+)\s+(?P<file>\S*?):(?P<function>.*?)(\s\[(?P<object>.*)\])?$")
OURS = re.compile(r"tricorn::(\w+)::")


def counts_of(folder: Path) -> Counter:
    """Instructions of each (part, function) in the worker's whole life."""
    path = max(folder.iterdir(), key=lambda file: file.stat().st_size)
    listing = subprocess.run(["callgrind_annotate", "--threshold=100", "--show-percs=no", path], capture_output=True, text=True, check=True).stdout
    found = Counter()
    for line in listing.splitlines():
        if match := LINE.match(line):
            found[part_of(match), match["function"][:110]] += int(match[1].replace(",", ""))
    return found


def part_of(match: re.Match) -> str:
    """The folder of src/, or what is not ours. Inlined functions count where their own name lies."""
    if ours := OURS.search(match["function"]):
        return ours[1]
    binary, source = match["object"] or "", match["file"]
    if "libpython" in binary or "Python-3" in source or "/python3" in binary:
        return "CPython"
    if "/libc." in binary or "sysdeps" in source or "vdso" in binary or "ld-linux" in binary or source.startswith("./"):
        return "libc"
    return "std:: and the rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requests", type=int, default=1000, help="that `many` had more than `few`")
    parser.add_argument("--functions", type=int, default=0, help="how many of them to list")
    opts = parser.parse_args()
    spent = counts_of(opts.folder / "many")
    spent.subtract(counts_of(opts.folder / "few"))
    parts = Counter()
    for (part, _), count in spent.items():
        parts[part] += count / opts.requests
    print("| part | instructions | share |\n|---|--:|--:|")
    total = sum(parts.values())
    for part, count in ((part, count) for part, count in parts.most_common() if count >= 1):
        print(f"| {part} | {count:,.0f} | {count / total:.1%} |")
    print(f"| all | {total:,.0f} | |")
    for (part, function), count in spent.most_common(opts.functions):
        print(f"{count / opts.requests:9.1f}  {part}: {function}")


if __name__ == "__main__":
    sys.exit(main())
