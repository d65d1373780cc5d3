"""`python -m tricorn`: become the arbiter or tricornctl, both plain executables.

The commands of these names come here only when they do not find the package themselves.
"""

import os
import sys
from pathlib import Path


def _program(name: str) -> str:
    return os.environ.get("TRICORN_BIN", str(Path(__file__).parent / "bin")) + "/" + name


def become(program: str, words: list[str]) -> None:
    """Replace this process by a program of the package; does not return."""
    os.environ["TRICORN_PYTHON"] = sys.executable
    os.environ.pop("TRICORN_COMMAND", None)  # of a server that started us: an upgrade comes here
    os.execv(_program(program), words)  # noqa: S606


def main() -> None:
    """Become the arbiter; it starts this Python again for the spawner."""
    become("tricorn-arbiter", ["tricorn", *sys.argv[1:]])


def control() -> None:
    """Become tricornctl."""
    become("tricornctl", ["tricornctl", *sys.argv[1:]])


if __name__ == "__main__":
    main()
