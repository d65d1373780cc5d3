"""Rolling restarts and upgrades under load lose no request: a few rounds of what `make rolling` does for hours."""

import pytest

from blackbox.support import rolling
from blackbox.support.site import MODES


@pytest.mark.parametrize("how", [rolling.hup, rolling.usr2], ids=["hup", "usr2"])
@pytest.mark.parametrize(("mode", "workers"), [("sync", 1), ("sync", 2), ("gthread", 2)])
def test_rounds_under_load_lose_nothing(tmp_path, how, mode, workers):
    site = rolling.start(tmp_path, workers, *MODES[mode])
    try:
        crowd, arbiter = rolling.roll(site, how, 4, each=1)
        rolling.end(site, arbiter)
        assert crowd.lost == [], site.log
        assert all(crowd.answered.values()) and len(crowd.answered) == 4, crowd.answered
        assert site.report() == ""
    finally:
        site.kill()
