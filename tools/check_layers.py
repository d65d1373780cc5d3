#!/usr/bin/env python3
"""Holds the includes under src/ against the edges in src/CMakeLists.txt."""

import re
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
# Composition roots see everything; `heartbeat/python_layout.h` is the C contract pyapi fills in.
ROOTS = {"cli"}


def declared_edges() -> dict[str, set[str]]:
    """Folder -> folders it may include from, transitively."""
    text = (SRC / "CMakeLists.txt").read_text()
    direct = {}
    for name, depends in re.findall(
        r"tricorn_folder\((\w+)(?: DEPENDS ([\w ]+?))?(?: LINKS [^)]*)?\)", text
    ):
        direct[name] = set(depends.split())
    closed: dict[str, set[str]] = {}

    def close(name: str) -> set[str]:
        if name not in closed:
            closed[name] = {name}
            for dependency in direct[name]:
                closed[name] |= close(dependency)
        return closed[name]

    for name in direct:
        close(name)
    return closed


def violations() -> list[str]:
    """Return one line for each include that no declared edge allows."""
    edges = declared_edges()
    found = []
    for path in sorted(SRC.rglob("*.[ch]*")):
        folder = path.relative_to(SRC).parts[0]
        if folder in ROOTS or path.suffix not in {".h", ".cc", ".c"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'#include "(\w+)/', line)
            if match and match[1] not in edges.get(folder, set()) and match[1] != "internal":
                found.append(
                    f"{path.relative_to(SRC.parent)}:{number}: {folder} may not include {match[1]}"
                )
    return found


if __name__ == "__main__":
    lines = violations()
    print("\n".join(lines) or "layers: every include follows a declared edge")
    sys.exit(bool(lines))
