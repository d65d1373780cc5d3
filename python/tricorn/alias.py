"""`tricornctl alias`: a `gunicorn` command that starts Tricorn, and `import gunicorn` beside it.

For start-up commands that cannot be changed, as a platform's default. Gunicorn's own command is
kept aside and comes back with `alias remove`.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path

USAGE = """usage: tricornctl alias install [--force] | remove | status [--json]

install  make `gunicorn` of this environment start Tricorn, and `import gunicorn` find
         Tricorn's stand-in; with --force although Gunicorn is installed
remove   undo it
status   say what `gunicorn` is
--json   the answer as JSON: command, tricorn (whether it starts Tricorn), text
"""
_ASIDE = "gunicorn.before-tricorn"
_HOOK = "tricorn_gunicorn.pth"
_HOOK_TEXT = "import tricorn.compat.finder; tricorn.compat.finder.activate()\n"


class Refused(Exception):
    """What was asked is not done; the text is for the operator."""


class Alias:
    """The two files that make up the alias, in one environment."""

    def __init__(self, scripts: Path, packages: Path) -> None:
        self.command = scripts / "gunicorn"
        self.target = scripts / "tricorn"
        self.aside = scripts / _ASIDE
        self.hook = packages / _HOOK

    def installed(self) -> bool:
        """Whether `gunicorn` is ours."""
        return self.command.is_symlink() and os.readlink(self.command) == self.target.name

    def install(self, force: bool) -> str:
        """Put the files there; what the command was is kept."""
        if not self.target.exists():
            raise Refused(f"{self.target} does not exist")
        if not self.installed() and os.path.lexists(self.command):
            if not force:
                raise Refused(
                    f"{self.command} is there already, and not ours; --force keeps it aside "
                    f"as {_ASIDE} until `tricornctl alias remove`"
                )
            os.replace(self.command, self.aside)
        temporary = self.command.with_name(f".gunicorn.{os.getpid()}")
        os.symlink(self.target.name, temporary)
        os.replace(temporary, self.command)
        self.hook.write_text(_HOOK_TEXT)
        return f"{self.command} starts Tricorn"

    def remove(self) -> str:
        """Take the files away and put back what was there; what is not ours stays."""
        self.hook.unlink(missing_ok=True)
        if self.installed():
            self.command.unlink()
        elif os.path.lexists(self.command):  # installed anew meanwhile
            return f"{self.command} is not ours and stays"
        if self.aside.exists():
            os.replace(self.aside, self.command)
            return f"{self.command} is what it was before"
        return f"{self.command} is gone"

    def status(self) -> str:
        """Say what `gunicorn` is."""
        if self.installed():
            return f"{self.command} starts Tricorn"
        there = os.path.lexists(self.command)
        return f"{self.command} is not ours" if there else f"{self.command} does not exist"


def main(words: list[str]) -> int:
    """Do what the command line says; give the exit status."""
    alias = Alias(Path(sysconfig.get_path("scripts")), Path(sysconfig.get_path("purelib")))
    actions = {
        ("install",): lambda: alias.install(force=False),
        ("install", "--force"): lambda: alias.install(force=True),
        ("remove",): alias.remove,
        ("status",): alias.status,
    }
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return 0
    as_json = "--json" in words
    asked = [word for word in words if word != "--json"]
    action = actions.get(tuple(asked))
    if action is None:
        said = f"'{' '.join(asked)}' is not among its words" if asked else "a word is needed"
        print(f"tricornctl: alias: {said}; see tricornctl alias --help", file=sys.stderr)
        return 2
    try:
        text = action()
        answer = {"command": str(alias.command), "tricorn": alias.installed(), "text": text}
        print(json.dumps(answer) if as_json else text)
    except (Refused, OSError) as problem:
        print(f"tricornctl: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
