#!/usr/bin/env python3
"""Holds the line on what a compiler does not check: length, width, banned calls, strays.

A ratchet: offenders known at its making are listed here and may only get shorter.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
WIDTH_MAX = 100
TABLE_LINE = re.compile(r"\s*(case .*:|break;)$")
BANNED = {
    r"\b(?:sprintf|vsprintf|strcpy|strcat|gets)\s*\(": "writes without a bound",
    r"(?<![\w:.>])(?:system|popen)\s*\(": "runs a shell",
    r"(?<![\w.])rand\s*\(": "use <random>",
    r"\bdelete\s+\w": "no naked delete: an owner does it",
    r"(?<!in )\b(?:sleep|usleep)\s*\((?!\{)": "wait for an event instead",
}
PYTHON_FOLDERS = {"pyapi", "gateway", "worker", "spawner", "cli"}
# Why each exception stands.
ALLOWED = {
    (
        "src/gateway/wsgi/input.cc",
        r"\bdelete\s+\w",
    ),  # tp_dealloc of a C struct that owns a std::string
    ("src/worker/error_stream.cc", r"\bdelete\s+\w"),  # likewise
}


def check_source(path: Path) -> list[str]:
    """Return the faults of one C++ file."""
    name = str(path.relative_to(ROOT))
    lines = path.read_text().splitlines()
    faults = []
    if len(lines) > FILE_LINES_MAX:
        faults.append(f"{name}: {len(lines)} lines, a split is due beyond {FILE_LINES_MAX}")
    folder = path.relative_to(ROOT / "src").parts[0]
    for number, line in enumerate(lines, 1):
        if len(line) > WIDTH_MAX:
            faults.append(f"{name}:{number}: {len(line)} columns, {WIDTH_MAX} are allowed")
        code = line.split("//")[0]
        if "#include <Python.h>" in code and folder not in PYTHON_FOLDERS:
            faults.append(f"{name}:{number}: Python.h is not for {folder}")
        for pattern, why in BANNED.items():
            if (
                re.search(pattern, code)
                and (name, pattern) not in ALLOWED
                and not name.endswith("_test.cc")
            ):
                faults.append(f"{name}:{number}: {why}: {line.strip()}")
        if re.search(r"\bTODO\b(?!\(#\d+\))", line):
            faults.append(f"{name}:{number}: TODO without an issue's number")
    return faults + long_functions(name, lines)


def long_functions(name: str, lines: list[str]) -> list[str]:
    """Return functions over the bound; case labels and breaks do not count, a table is no logic."""
    faults = []
    start = None
    for number, line in enumerate(lines, 1):
        opens = re.match(r"^[A-Za-z~].*\)[^;]*\{$", line) and not line.startswith("namespace")
        if start is None and opens:
            start = number
        elif start is not None and line.startswith("}"):
            body = [line for line in lines[start:number] if not TABLE_LINE.match(line)]
            if len(body) > FUNCTION_LINES_MAX:
                faults.append(f"{name}:{start}: function of {len(body)} lines")
            start = None
    return faults


def main() -> int:
    """Check all of src/ and fuzz/."""
    faults = []
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".h", ".cc", ".c"}:
            faults += check_source(path)
    print("\n".join(faults) or "tidy: nothing to mend")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
