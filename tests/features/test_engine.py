"""An engine is taken when it gives the same vectors in clearly less time, and never otherwise."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import datafiles, registry, storage
from pipeline.features import engine_choice
from pipeline.features.encoder import Encoder, Lineage, TaskResult
from pipeline.features.engine import BATCH_CLIPS, Encoded, Engine, FixedBatchEngine, TorchEngine
from pipeline.features.engine_candidates import Candidate, _Remembered, candidates, tuned
from pipeline.features.engine_choice import (
    NUM_ROUNDS,
    AutoEngine,
    choose_engine,
    disagreement,
    fastest,
    probe_clips,
    probes_for,
    proven,
    test_pays as pays,
)
from pipeline.model.autoencoder import VideoAutoencoder, build_model
from pipeline.model.blocks import Pointwise
from pipeline.model.checkpoint import save_checkpoint
from pipeline.model.config import ModelConfig, article, sora_xs
from tests.support.videos import encode_video

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SHAPE, TINY = (8, 32, 32, 3), (4, 16, 16, 3)


def network(config: ModelConfig | None = None, seed: int = 0) -> VideoAutoencoder:
    """A network with something in its biases and batch norms: fresh ones do nothing."""
    torch.manual_seed(seed)
    model = build_model(config or sora_xs(), num_classes=0).eval()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            for values, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2), (norm.weight, 0.5, 2)):
                nn.init.uniform_(values, low, high)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.uniform_(parameter, -0.5, 0.5)
    return model


def small_article() -> ModelConfig:
    """The article's network with fewer channels."""
    return ModelConfig("article", "article", widths=(8, 16), depths=(1, 2), latent_channels=16, embedding_dim=8)


@dataclass
class Clock:
    """Seconds that pass when an engine says so."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Paced:
    """A real engine that takes a given time a clip, and remembers what it was given."""

    name: str
    engine: Engine
    clock: Clock
    clip_s: float
    num_clips: list[int] = field(default_factory=list)

    def run(self, frames: Tensor) -> Encoded:
        self.clock.now_s += self.clip_s * len(frames)
        self.num_clips.append(len(frames))
        return self.engine.run(frames)


class Changed:
    """The reference's results, changed."""

    name = "changed"

    def __init__(self, change: Callable[[Encoded], Encoded]):
        self._change = change

    def run(self, frames: Tensor) -> Encoded:
        return self._change(reference().run(frames))


def reference() -> TorchEngine:
    """Plain torch."""
    return TorchEngine("torch", network(), device=CPU)


def raises(error: Exception) -> Callable[..., Encoded]:
    """A function that fails."""

    def fail(*_: object) -> Encoded:
        raise error

    return fail


def same(got: Encoded, expected: Encoded) -> None:
    """Equal to rounding."""
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_reference_measures_in_model_units() -> None:
    model, frames = network(), probe_clips(3, SHAPE)
    encoded = TorchEngine("torch", model, device=CPU).run(frames)
    x = (frames.float() / 127.5 - 1).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        output = model(x)
    same(
        encoded,
        Encoded(
            output.embedding,
            (output.reconstruction - x).abs().flatten(1).mean(1),
            (x[:, :, 1:] - x[:, :, :-1]).abs().flatten(1).mean(1),
        ),
    )


def test_a_clip_of_one_frame_does_not_move() -> None:
    assert reference().run(probe_clips(2, (1, 32, 32, 3))).motion.tolist() == [0, 0]


@pytest.mark.parametrize("config", [sora_xs(), small_article()], ids=lambda config: config.name)
@pytest.mark.parametrize("shape", [SHAPE, (5, 20, 20, 3)], ids=str)
def test_a_tuned_network_computes_the_same(config: ModelConfig, shape: tuple[int, ...]) -> None:
    model, probes = network(config), probe_clips(4, shape)
    expected = TorchEngine("torch", model, device=CPU).run(probes)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    (tried,) = candidates(model, device=CPU)
    same(tried.build().run(probes), expected)
    assert all(torch.equal(before[name], values) for name, values in model.state_dict().items()), "the original changed"


@pytest.mark.parametrize("config", [sora_xs(), article()], ids=lambda config: config.name)
def test_a_tuned_network_has_no_slow_parts_left(config: ModelConfig) -> None:
    kinds = [type(module) for module in tuned(network(config)).modules()]
    assert not {Pointwise, nn.BatchNorm3d} & set(kinds)


@pytest.mark.parametrize("num_clips", [1, 5, BATCH_CLIPS])
def test_a_short_batch_is_filled_up_and_cut(num_clips: int) -> None:
    seen: list[int] = []
    torch_engine, frames = reference(), probe_clips(num_clips, SHAPE)

    def compute(full: Tensor) -> Encoded:
        seen.append(len(full))
        return torch_engine.compute(full)

    same(FixedBatchEngine("fixed", compute, device=CPU).run(frames), torch_engine.run(frames))
    assert seen == [BATCH_CLIPS]


@pytest.mark.parametrize("num_clips", [0, BATCH_CLIPS + 1])
def test_a_batch_that_cannot_be_filled_up_is_refused(num_clips: int) -> None:
    engine = FixedBatchEngine("fixed", raises(AssertionError("it ran")), device=CPU)
    with pytest.raises(ValueError, match="expected 1 to 16 clips"):
        engine.run(torch.zeros(num_clips, *SHAPE, dtype=torch.uint8))


def test_constants_are_made_once() -> None:
    model, x = network(), torch.rand(1, 3, 8, 32, 32)
    with torch.no_grad(), _Remembered() as constants:
        first, second = model(x).embedding, model(x).embedding
        assert torch.tensor([1.0, 2.0]) is torch.tensor([1.0, 2.0])
        assert torch.tensor([1.0, 2.0]).dtype != torch.tensor([1.0, 2.0], dtype=torch.float64).dtype
    with torch.no_grad():
        assert torch.equal(first, model(x).embedding)
    assert torch.equal(first, second)
    assert len(constants._tensors) == 3, "one of the network's, two of this test's"


REFUSED: dict[str, tuple[Callable[[Encoded], Encoded], str]] = {
    "other_vectors": (lambda e: e._replace(embedding=e.embedding + e.embedding.abs().mean()), "cosine distance"),
    "one_other_vector": (lambda e: e._replace(embedding=e.embedding.index_fill(0, torch.tensor(2), 1)), "cosine"),
    "longer_vectors": (lambda e: e._replace(embedding=1.01 * e.embedding), "length"),
    "no_numbers": (lambda e: e._replace(embedding=e.embedding * torch.nan), "cosine distance of nan"),
    "other_errors": (lambda e: e._replace(recon_error=1.002 * e.recon_error), "recon_error"),
    "other_motion": (lambda e: e._replace(motion=e.motion + 1e-3), "motion"),
    "a_clip_too_few": (lambda e: Encoded(*(values[1:] for values in e)), "shape"),
    "it_crashes": (raises(RuntimeError("no kernel")), "RuntimeError: no kernel"),
}


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_an_engine_that_is_wrong_is_not_taken(
    change: Callable[[Encoded], Encoded], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Candidate("changed", lambda: Changed(change))
    assert proven(reference(), [wrong], probe_clips(4, SHAPE)) == []
    assert "changed is not used" in caplog.text
    assert reason in caplog.text


def test_an_engine_that_cannot_be_built_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    missing = Candidate("missing", raises(ModuleNotFoundError("No module named 'triton'")))
    right = Candidate("changed", lambda: Changed(lambda encoded: encoded))
    assert [engine.name for engine in proven(reference(), [missing, right], probe_clips(4, SHAPE))] == ["changed"]
    assert "missing is not used. got: ModuleNotFoundError: No module named 'triton'" in caplog.text


def test_a_network_with_other_weights_disagrees() -> None:
    probes = probe_clips(4, SHAPE)
    other = TorchEngine("torch", network(seed=1), device=CPU).run(probes)
    assert disagreement(other, reference().run(probes)) is not None


@pytest.mark.parametrize(
    ("seconds", "incumbent", "chosen"),
    [
        ({"torch": 1.0}, "torch", "torch"),
        ({"torch": 1.0, "tuned": 0.89}, "torch", "tuned"),
        ({"torch": 1.0, "tuned": 0.91}, "torch", "torch"),
        ({"torch": 1.0, "tuned": 1.5}, "torch", "torch"),
        ({"torch": 1.0, "graph": 0.5, "tuned": 0.8}, "torch", "graph"),
        ({"graph": 0.5, "compiled": 0.49}, "graph", "graph"),
        ({"graph": 0.5, "compiled": 0.3}, "graph", "compiled"),
    ],
)
def test_the_fastest_must_be_clearly_faster(seconds: dict[str, float], incumbent: str, chosen: str) -> None:
    assert fastest(seconds, incumbent) == chosen


@pytest.mark.parametrize(
    ("spent_s", "clip_s", "build_s", "is_due"),
    [
        (2.3, 0.0075, 0.0, False),  # sora_xs: two runs of 16 clips are 0.24 s
        (2.5, 0.0075, 0.0, True),
        (36.0, 0.5, 0.0, False),  # the article's network: two runs of 4 clips are 4 s
        (41.0, 0.5, 0.0, True),
        (500.0, 0.0001, 60.0, False),
        (601.0, 0.0001, 60.0, True),
    ],
)
def test_a_test_costs_a_tenth_of_the_work_at_most(spent_s: float, clip_s: float, build_s: float, is_due: bool) -> None:
    assert pays(spent_s, clip_s, build_s) is is_due


@pytest.mark.parametrize(("clip_s", "num_probes"), [(0.0, 16), (0.007, 16), (0.025, 10), (0.5, 4)])
def test_slow_networks_are_tested_on_fewer_clips(clip_s: float, num_probes: int) -> None:
    assert probes_for(clip_s) == num_probes


@pytest.mark.parametrize(("rival_s", "chosen"), [(0.008, "rival"), (0.0095, "torch"), (0.02, "torch")])
def test_the_faster_engine_takes_over(rival_s: float, chosen: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    first, rival = Paced("torch", reference(), clock, 0.01), Paced("rival", reference(), clock, rival_s)
    engine = AutoEngine(first, [Candidate("rival", lambda: rival)], clock=clock)
    frames = probe_clips(BATCH_CLIPS, TINY)
    expected, order = reference().run(frames), []
    for _ in range(40):
        order.append(engine.name)
        same(engine.run(frames), expected)
    trial = order.index("rival") - 1
    assert trial >= 20, "3.2 s are ten times what two runs of 16 clips take"
    assert order[trial : trial + 2 * NUM_ROUNDS] == ["torch", "rival"] * NUM_ROUNDS
    assert set(order[trial + 2 * NUM_ROUNDS :]) == {chosen}
    assert f"The engine {chosen} encodes from here on. ms a clip: torch 10.00" in caplog.text


def test_short_batches_are_no_part_of_the_trial() -> None:
    clock = Clock()
    first, rival = Paced("torch", reference(), clock, 1.0), Paced("rival", reference(), clock, 0.1)
    engine = AutoEngine(first, [Candidate("rival", lambda: rival)], clock=clock)
    frames = probe_clips(BATCH_CLIPS, TINY)
    for num_clips in [BATCH_CLIPS] * 5 + [3] * 20:  # 80 s: ten times two runs of 4 clips
        engine.run(frames[:num_clips])
    assert (engine.name, rival.num_clips) == ("torch", [4]), "the test, and no short batch after it"


def test_where_nothing_is_proven_torch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    first = Paced("torch", reference(), clock, 1.0)
    engine = AutoEngine(first, [Candidate("broken", raises(OSError("no compiler")))], clock=clock)
    for _ in range(8):
        engine.run(probe_clips(BATCH_CLIPS, TINY))
    assert engine.name == "torch"
    assert caplog.text.count("broken is not used") == 1
    assert first.num_clips.count(4) == 1, "the reference was tested once"


def test_an_engine_that_is_asked_for_stays() -> None:
    assert type(choose_engine(network(), device=CPU, wanted="torch")) is TorchEngine
    assert choose_engine(network(), device=CPU, wanted="auto").name == "torch"


def test_probes_are_always_the_same_and_of_every_kind() -> None:
    probes = probe_clips(BATCH_CLIPS, SHAPE)
    assert (probes.shape, probes.dtype) == ((BATCH_CLIPS, *SHAPE), torch.uint8)
    assert torch.equal(probes, probe_clips(BATCH_CLIPS, SHAPE))
    moves = [bool((clip[1:] != clip[:-1]).any()) for clip in probes]
    assert moves == [True, False, False, True] * 4
    assert [len(clip.unique()) for clip in probes[2::4]] == [1] * 4
    assert torch.equal(probes[3, 1, 0, :-1], probes[3, 0, 0, 1:]), "the stripes move a column a frame"


def test_an_extraction_that_changes_engines_writes_the_same_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = {"frames_per_clip": 4, "sample_fps": 8.0, "stride_s": 0.5, "size_px": 32}
    save_checkpoint(tmp_path / "model", network(), labels=[], sampling=sampling, metrics={})
    (tmp_path / "long.mp4").write_bytes(encode_video(800))
    uri = storage.normalize(str(tmp_path / "long.mp4"))
    video = {"video_id": "v", "uri": uri, "version": storage.info(uri).version, "attempts": 0}
    root = storage.normalize(str(tmp_path / "root"))
    lineage = Lineage(root, registry.resolve(root, str(tmp_path / "model")), "run", date(2026, 1, 1))

    def vectors(result: TaskResult) -> np.ndarray:
        assert result.failures == []
        assert sum(result.clips_by_engine.values()) == result.num_clips > BATCH_CLIPS
        table = datafiles.read(root, "features", result.files[0]).sort_by("clip_index")
        return np.array([[*row["embedding"], row["recon_error"], row["motion"]] for row in table.to_pylist()])

    plain = Encoder(lineage, engine="torch").extract([video])
    monkeypatch.setattr(engine_choice, "_PAYS_AFTER", 0)
    both = Encoder(lineage).extract([video])
    assert list(plain.clips_by_engine) == ["torch"]
    np.testing.assert_allclose(vectors(both), vectors(plain), rtol=1e-4, atol=1e-5)
    assert set(both.clips_by_engine) == {"torch", "tuned"}
