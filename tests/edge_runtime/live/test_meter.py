import numpy as np
import pytest

from edge_runtime.live.meter import Meter, Spread


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_right_to_two_percent(share: float) -> None:
    """Against NumPy's, on times from microseconds to seconds."""
    times = np.random.default_rng(0).lognormal(-4, 2, 5000)
    spread = Spread()
    for seconds in times:
        spread.add(float(seconds))

    expected = np.quantile(times, share, method="inverted_cdf") * 1000
    assert pytest.approx(expected, rel=0.02) == spread.percentile_ms(share)


def test_no_times_have_no_percentile() -> None:
    """None, not zero."""
    assert Spread().percentile_ms(0.5) is None


def test_counts_of_the_whole_and_of_each_watcher() -> None:
    """A watcher sees what came since its own last look, the whole sees all."""
    now_s = [0.0]
    meter = Meter(clock=lambda: now_s[0])
    one, other = meter.watch(), meter.watch()
    meter.begin()

    def frames(n: int, depth: int) -> None:
        for _ in range(n):
            meter.captured(0.001)
            meter.filtered(0.020, depth, 25.0)
            meter.shown(0.030, 0.002)
        now_s[0] += 2.0

    frames(4, depth=8)
    first = one()
    frames(6, depth=2)

    assert (4, 6, 10, 10) == (
        first.n_shown,
        one().n_shown,
        other().n_shown,
        meter.whole().n_captured,
    )
    assert 2.0 == first.fps
    assert {8: 4, 2: 6} == meter.whole().depths
    figures = meter.whole().figures()
    assert pytest.approx(30, rel=0.02) == figures["age_ms"]["p99"]
    assert {"2": 6, "8": 4} == figures["frames_by_depth"]
    assert 64.0 == figures["age_bound_ms"]


def test_frames_over_the_bound_are_counted() -> None:
    """Twice the slowest filter and output, and 20 ms for handing over, is the bound."""
    meter = Meter()
    meter.filtered(0.020, 8, 25.0)

    meter.shown(0.063, 0.002)
    meter.shown(0.065, 0.002)

    assert 1 == meter.n_over_bound
