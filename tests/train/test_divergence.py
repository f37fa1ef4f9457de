"""A loss that stays far above what it was stops a run; one that spikes, wanders or starts high does not."""

import math

import pytest

from pipeline.errors import SoraError
from pipeline.train.divergence import WINDOW, LossHistory, remembered, require_convergence


def falling(start: float, end: float, num_steps: int) -> list[float]:
    return [end + (start - end) * math.exp(-6 * step / num_steps) for step in range(num_steps)]


def stopped_at(losses: list[float]) -> int | None:
    history = LossHistory()
    for step, loss in enumerate(losses):
        history = remembered(history, loss)
        if history.is_diverged:
            return step
    return None


LEARNED = falling(3.0, 0.1, 300)
GOES_ON = {
    "falls": LEARNED,
    "never learns": [3.0] * 500,
    "one spike": [*LEARNED, 1e9, *[0.1] * 200],
    "a spike of 24 steps": [*LEARNED, *[1e6] * 24, *[0.1] * 200],
    "every third step is wild": [*LEARNED, *[0.1, 0.1, 1e4] * 100],
    "rises tenfold, below its start": [*LEARNED, *[1.0] * 300],
    "doubles for good": [*falling(3.0, 2.9, 200), *[5.8] * 300],
    "starts with spikes": [*[1e5, 1e5, 3.0] * 10, *LEARNED],
    "as soon as it is judged": [0.1] * (WINDOW - 1) + [1e3] * (WINDOW // 2),
    "a term that is zero at first and grows to its weight": [1.0 + 1.5 * step / 400 for step in range(400)],
    "nothing to learn": [0.0] * 200,
}
STOPS = {
    "grows without end": [*LEARNED, *[0.1 * 1.05**step for step in range(400)]],
    "jumps and stays": [*LEARNED, *[9.5] * 100],
    "never learned, then grows": [*[3.0] * 200, *[3.0 * 1.02**step for step in range(400)]],
    "grows with noise": [*LEARNED, *[20.0 if step % 4 else 0.1 for step in range(200)]],
}


@pytest.mark.parametrize("name", GOES_ON)
def test_a_run_that_may_recover_goes_on(name: str) -> None:
    assert stopped_at(GOES_ON[name]) is None


@pytest.mark.parametrize("name", STOPS)
def test_sustained_growth_stops(name: str) -> None:
    assert stopped_at(STOPS[name]) is not None


def test_a_jump_is_told_from_a_spike_after_half_a_window() -> None:
    assert stopped_at(STOPS["jumps and stays"]) == len(LEARNED) + WINDOW // 2


def test_the_error_says_where_what_and_how_to_go_on() -> None:
    history = LossHistory()
    for loss in STOPS["jumps and stays"]:
        history = remembered(history, loss)
    with pytest.raises(SoraError, match=r"diverged[\s\S]*step 400[\s\S]*9\.5[\s\S]*--learning-rate"):
        require_convergence(history, step=400, learning_rate=3e-3)
    require_convergence(LossHistory(), step=0, learning_rate=3e-3)
