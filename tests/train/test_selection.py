"""Who is learned from and who is measured on: whole groups, never a held-out video."""

import pytest

from pipeline.errors import ConfigError
from pipeline.train.resources import Resources, share
from pipeline.train.selection import Sample, Selection, select


def samples(num_groups: int = 40, per_group: int = 3) -> list[Sample]:
    return [
        Sample(
            video_id=f"v{group}-{i}",
            uri="u",
            version="1",
            duration_s=1.0,
            label=f"class{i}",
            attributes={"source_group": f"g{group}", "split1": "test" if group % 4 == 0 else "train"},
        )
        for group in range(num_groups)
        for i in range(per_group)
    ]


def groups(side: list[Sample]) -> set[str]:
    return {sample.attributes["source_group"] for sample in side}


def test_no_group_stands_on_both_sides() -> None:
    selection = select(samples(), validation_fraction=0.3, seed=0)
    assert selection.train
    assert selection.validation
    assert not groups(list(selection.train)) & groups(list(selection.validation))


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0), (0.1, 12), (0.5, 60), (0.999, 117)])
def test_the_share_is_met_as_closely_as_whole_groups_allow(fraction: float, expected: int) -> None:
    assert len(select(samples(), validation_fraction=fraction, seed=0).validation) == expected


def test_what_the_split_holds_out_is_on_neither_side() -> None:
    selection = select(samples(), validation_fraction=0.3, seed=0, split_column="split1")
    assert selection.num_held_out == 30
    used = [*selection.train, *selection.validation]
    assert {sample.attributes["split1"] for sample in used} == {"train"}


def test_the_draw_depends_on_the_seed_and_nothing_else() -> None:
    there = samples()
    first = select(there, validation_fraction=0.3, seed=1)
    assert select(list(reversed(there)), validation_fraction=0.3, seed=1).digest() == first.digest()
    assert select(there, validation_fraction=0.3, seed=2).digest() != first.digest()


def test_rows_are_in_an_order_of_their_own_and_unlabelled_is_minus_one() -> None:
    there = [Sample("b", "u", "1", None, None, {}), Sample("a", "u", "1", None, "x", {})]
    selection = Selection(there, [], 0, ["x"])
    assert selection.rows("train").select(["video_id", "label_index"]).to_pydict() == {
        "video_id": ["a", "b"],
        "label_index": [0, -1],
    }


def test_an_unknown_split_column_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="source_group"):
        select(samples(), validation_fraction=0.2, seed=0, split_column="split9")


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no video to learn from"):
        select([], validation_fraction=0.2, seed=0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"num_cpus": 2, "num_workers": 2, "clip_bytes": 10}, Resources(False, 1.0, 2, True)),
        ({"num_cpus": 2, "num_workers": 4, "clip_bytes": 10}, Resources(False, 0.5, 2, True)),
        ({"num_cpus": 4, "num_workers": 8, "least_workers": 2, "clip_bytes": 10}, Resources(False, 0.5, 4, True)),
        (
            {"num_cpus": 8, "num_workers": 4, "least_workers": 1, "clip_bytes": 10, "num_gpus": 2},
            Resources(True, 1.0, 8, True),
        ),
        ({"num_cpus": 2, "num_workers": 2, "clip_bytes": 900}, Resources(False, 0.5, 1, False)),
        ({"num_cpus": 16, "num_workers": 4, "clip_bytes": 900}, Resources(False, 1.0, 12, False)),
        ({"num_cpus": 8, "num_workers": 2, "clip_bytes": 900, "num_gpus": 2}, Resources(True, 1.0, 6, False)),
        (
            {"num_cpus": 8, "num_workers": 2, "least_workers": 1, "clip_bytes": 900, "num_gpus": 2},
            Resources(True, 1.0, 6, False),
        ),
        (
            {"num_cpus": 8, "num_workers": 8, "least_workers": 1, "clip_bytes": 900, "num_gpus": 1},
            Resources(True, 1.0, 7, False),
        ),
    ],
)
def test_workers_and_decoders_share_the_cluster(given: dict[str, int], expected: Resources) -> None:
    all_workers = {"least_workers": given["num_workers"]}
    assert share(**{"num_gpus": 0, "object_store_bytes": 1000, **all_workers, **given}) == expected


@pytest.mark.parametrize("given", [{"num_workers": 5, "num_gpus": 0}, {"num_workers": 2, "num_gpus": 1}])
def test_more_workers_than_the_cluster_can_serve_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="--num-workers"):
        share(num_cpus=2, object_store_bytes=1000, clip_bytes=1, least_workers=given["num_workers"], **given)


@pytest.mark.parametrize(("least_workers", "clip_bytes"), [(5, 1), (1, 900)], ids=["too many", "clips stream"])
def test_a_changing_number_of_workers_is_refused_where_it_cannot_be_served(least_workers: int, clip_bytes: int) -> None:
    given = {"num_cpus": 2, "num_gpus": 0, "object_store_bytes": 1000, "num_workers": 8}
    with pytest.raises(ConfigError, match="--min-workers"):
        share(**given, least_workers=least_workers, clip_bytes=clip_bytes)
