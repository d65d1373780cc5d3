"""docs/differences.md is the table of differences, for people."""

import os
import re

from differential.differences import DIFFERENCES
from differential.pair import ROOT

DOCUMENT = ROOT / "docs" / "differences.md"
MARKS = re.compile(r"(?s)(<!-- made from tests/differential/differences\.py: TRICORN_UPDATE_DOCS=1 pytest tests/differential/test_document\.py -->\n).*?(<!-- end -->\n)")


def table():
    """Give the rows of the document."""
    rows = [f"| {name} | {d.theirs} | {d.ours} | {d.why} |\n" for name, d in sorted(DIFFERENCES.items())]
    return "| Name | Gunicorn 27 | Tricorn | Why |\n|---|---|---|---|\n" + "".join(rows)


def test_the_document_has_every_difference():
    text = DOCUMENT.read_text()
    made = MARKS.sub(lambda match: match[1] + table() + match[2], text)
    if os.environ.get("TRICORN_UPDATE_DOCS"):
        DOCUMENT.write_text(made)
        text = made
    assert text == made, "docs/differences.md is old"
    assert MARKS.search(text)


def test_every_difference_is_met_by_a_scenario():
    scenarios = "".join(file.read_text() for file in (ROOT / "tests" / "differential").glob("test_*.py"))
    unmet = [name for name in DIFFERENCES if name != "product-name" and f'"{name}"' not in scenarios]
    assert not unmet, unmet
