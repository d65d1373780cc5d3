"""Each class of trouble for real, once, under sync and gthread in turn. `make hangs` runs all of them under both."""

import pytest

from hangs import trial
from hangs.troubles import KNOWN_MISSES, TROUBLES


def chosen():
    """Give a trouble and a kind of worker for each that belongs to the short part."""
    short = [trouble for trouble in TROUBLES if trouble.short]
    for number, trouble in enumerate(short):
        mode = trouble.modes[number % len(trouble.modes)]
        marks = [pytest.mark.alone] if trouble.alone else []
        yield pytest.param(trouble, mode, id=f"{trouble.path}-{trouble.cause}-{mode}", marks=marks)


@pytest.mark.parametrize(("trouble", "mode"), chosen())
def test_what_is_said_of_it_is_right(trouble, mode, services):
    outcome = trial.run(trouble, mode, services)
    if outcome.skipped:
        pytest.skip(f"SKIPPED LOUDLY: {outcome.skipped}")
    if not outcome.right and (trouble.path, mode) in KNOWN_MISSES:
        pytest.xfail(KNOWN_MISSES[trouble.path, mode])
    assert outcome.right, "\n".join([*outcome.why, outcome.log, outcome.report])


def test_the_suite_is_as_big_as_it_says():
    kinds = {(trouble.path, trouble.cause, trouble.around) for trouble in TROUBLES if trouble.cause}
    controls = {(trouble.path, trouble.client) for trouble in TROUBLES if not trouble.cause}
    assert len(kinds) >= 60
    assert len(controls) >= 6
