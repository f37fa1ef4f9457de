"""Sizes and key flags alone tell how much moves and where shots change."""

import numpy as np
import pytest

from pipeline.decode.packets import Packets, cut_candidates_s, motion_score

FPS = 10


def packets(keys: dict[int, int], others: list[int], *, order: list[int] | None = None) -> Packets:
    """One packet each 0.1 s: those at the given places are key frames of the given size."""
    places = np.arange(len(others))
    sizes = np.array([keys.get(place, size) for place, size in zip(places, others, strict=True)])
    shown = np.array(order) if order is not None else places
    return Packets(sizes, shown / FPS, np.isin(places, list(keys)), len(others) / FPS)


def steady(num: int, size: int = 100) -> list[int]:
    return [size] * num


@pytest.mark.parametrize(
    ("keys", "others", "score"),
    [
        ({0: 1000}, steady(10), 0.9),  # nine packets of a tenth of a key frame in one second
        ({0: 2000}, steady(10, 200), 0.9),  # twice the bytes, the same motion
        ({0: 1000, 10: 1000}, steady(20), 0.9),
        ({0: 1000}, steady(10, 0), 0.0),
        ({0: 1000}, steady(40), 0.975),
        ({0: 1000}, [*steady(20), 900, *steady(20)], (39 * 0.1) / 4.1),  # a cut is no motion
    ],
)
def test_motion_is_key_pictures_a_second(keys: dict[int, int], others: list[int], score: float) -> None:
    assert motion_score(packets(keys, others)) == pytest.approx(score)


@pytest.mark.parametrize("keys", [{}, dict.fromkeys(range(10), 1000)])
def test_where_all_or_none_are_keys_packets_say_nothing(keys: dict[int, int]) -> None:
    silent = packets(keys, steady(10))
    assert motion_score(silent) is None
    assert cut_candidates_s(silent) is None


@pytest.mark.parametrize(
    ("what", "keys", "cuts_s"),
    [
        ("a regular grid", range(0, 60, 12), []),
        ("one key between", [0, 12, 24, 30, 42, 54], [3.0]),
        ("a rate that varies a little", [0, 30, 59, 89], []),
        ("two keys only: there is no grid", [0, 25], [2.5]),
        ("the encoder's longest interval, once", [0, 250], []),
        ("and a cut before it", [0, 40, 290], [4.0]),
        ("no interval twice", [0, 20, 50, 57], [2.0, 5.0, 5.7]),
        ("only the first", [0], []),
    ],
)
def test_a_key_frame_off_the_grid_is_a_cut(what: str, keys: list[int], cuts_s: list[float]) -> None:
    found = cut_candidates_s(packets(dict.fromkeys(keys, 1000), steady(300)))
    assert found is not None
    assert found.tolist() == cuts_s, what


@pytest.mark.parametrize(
    ("others", "cuts_s"),
    [
        ([*steady(30), 800, *steady(30)], [3.0]),
        ([*steady(30), 800, *steady(5), 700, *steady(30)], [3.0, 3.6]),  # two cuts in one window
        ([*steady(30), 350, *steady(30)], []),  # not much of a key frame
        ([*steady(30, 600), 800, *steady(30, 600)], []),  # everything is large: motion
        ([*steady(20), *([50, 800] * 10), *steady(20)], []),  # every other frame repeats: so do the large packets
        (steady(10), []),  # too few neighbours to stick out from
    ],
)
def test_a_packet_that_sticks_out_is_a_cut(others: list[int], cuts_s: list[float]) -> None:
    found = cut_candidates_s(packets({0: 1000}, others))
    assert found is not None
    assert found.tolist() == cuts_s


def test_frames_shown_before_their_predecessor_are_not_compared() -> None:
    """P B B P B B...: every seventh P is large; too far apart to be seen, were the B-frames counted."""
    num = 180
    order = [0] + [3 * (k // 3) + (3, 1, 2)[k % 3] for k in range(num - 1)]
    others = [0] + [800 if k % 21 == 0 else 400 if k % 3 == 0 else 100 for k in range(num - 1)]
    found = cut_candidates_s(packets({0: 1000}, others, order=order))
    assert found is not None
    assert found.tolist() == []
