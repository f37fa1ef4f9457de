"""Which engine a worker uses: plain torch, until it has worked for so long that looking for a faster one pays.

torch --worked ten times what the test costs--> candidates --same results on the probes?--> trial --> the fastest
                                                                                  real batches, by turns

The test costs a run of each engine; the trial nothing, since all who take part are right. So a night of ten videos
pays for neither.
"""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pipeline.features.config import EngineChoice
from pipeline.features.engine import BATCH_CLIPS, EIGHT_BITS, REFERENCE, Encoded, Engine, TorchEngine
from pipeline.features.engine_candidates import Candidate, candidates, tuned
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.model.quantization import is_quantized

Clock = Callable[[], float]
COSINE_TOLERANCE, RELATIVE_TOLERANCE = 1e-4, 1e-3
MARGIN = 0.9  # another engine must need less than this share of the time
NUM_ROUNDS = 5
_PAYS_AFTER = 10  # times the cost of the test: a run that ends right after it has lost a tenth at most
_TEST_S = 0.25  # of an engine; networks that are slow on this machine are tested on fewer clips
_MIN_PROBES = 4  # one of each kind of picture
_log = logging.getLogger(__name__)


def choose_engine(model: VideoAutoencoder, *, device: torch.device, wanted: EngineChoice) -> Engine:
    """The engine for a network on its device.

    Args:
        model: In evaluation mode, on the device.
        device: Where it runs.
        wanted: torch, or auto: torch at first, and then the fastest that gives the same vectors. A network in eight
            bits is run in eight bits.
    """
    if is_quantized(model):
        return TorchEngine(EIGHT_BITS, tuned(model), device=device, memory_format=torch.channels_last_3d)
    reference = TorchEngine(REFERENCE, model, device=device)
    if wanted == "torch":
        return reference
    clock = time.perf_counter if device.type == "cuda" else time.process_time  # other processes want the CPUs too
    return AutoEngine(reference, candidates(model, device=device), clock=clock)


class AutoEngine:
    """The reference at first; the fastest engine that agrees with it, once it has worked long enough.

    Args:
        reference: What is right.
        candidates: What to try.
        clock: Seconds that only grow.
    """

    def __init__(self, reference: Engine, candidates: Sequence[Candidate], *, clock: Clock):
        self._reference, self._untested, self._clock = reference, tuple(candidates), clock
        self._spent_s, self._num_clips = 0.0, 0
        self._engines = [reference]  # more than one: they take turns
        self._incumbent = reference.name
        self._seconds: dict[str, list[float]] = {}

    @property
    def name(self) -> str:
        """Of the engine that runs the next batch."""
        return self._engines[0].name

    def run(self, frames: Tensor) -> Encoded:
        """Encode uint8 frames (B, T, H, W, C) RGB."""
        started_s = self._clock()
        encoded = self._engines[0].run(frames)
        seconds = self._clock() - started_s
        if len(self._engines) > 1:
            self._go_on_with_the_trial(len(frames), seconds)
        elif self._untested:
            self._work_up_to_a_test(frames, seconds)
        return encoded

    def _work_up_to_a_test(self, frames: Tensor, seconds: float) -> None:
        self._spent_s += seconds
        self._num_clips += len(frames)
        clip_s = self._spent_s / self._num_clips
        due = [candidate for candidate in self._untested if test_pays(self._spent_s, clip_s, candidate.build_s)]
        if due:
            self._untested = tuple(candidate for candidate in self._untested if candidate not in due)
            self._engines += proven(self._reference, due, probe_clips(probes_for(clip_s), frames.shape[1:]))
            self._seconds = {engine.name: [] for engine in self._engines}

    def _go_on_with_the_trial(self, num_clips: int, seconds: float) -> None:
        if num_clips < BATCH_CLIPS:
            return
        engine = self._engines.pop(0)
        self._engines.append(engine)
        self._seconds[engine.name].append(seconds)
        if min(len(rounds) for rounds in self._seconds.values()) == NUM_ROUNDS:
            medians_s = {name: statistics.median(rounds) for name, rounds in self._seconds.items()}
            self._incumbent = fastest(medians_s, self._incumbent)
            self._engines = [engine for engine in self._engines if engine.name == self._incumbent]
            told = ", ".join(f"{name} {1e3 * s / BATCH_CLIPS:.2f}" for name, s in medians_s.items())
            _log.info("The engine %s encodes from here on. ms a clip: %s", self._incumbent, told)


def test_pays(spent_s: float, clip_s: float, build_s: float) -> bool:
    """Whether a worker has worked so long that a candidate's test costs it a tenth of that at most.

    Args:
        spent_s: Seconds of encoding so far.
        clip_s: Seconds a clip.
        build_s: Seconds to build the candidate.
    """
    return spent_s >= _PAYS_AFTER * (build_s + 2 * probes_for(clip_s) * clip_s)


def fastest(seconds: Mapping[str, float], incumbent: str) -> str:
    """The engine to take: the one that worked so far, unless another needs less than nine tenths of its time.

    Args:
        seconds: What a batch takes, by engine.
        incumbent: The one that worked so far.
    """
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[best] < MARGIN * seconds[incumbent] else incumbent


def proven(reference: Engine, candidates: Sequence[Candidate], probes: Tensor) -> list[Engine]:
    """The candidates whose results are those of the reference; what is refused is logged with its reason.

    Args:
        reference: What is right.
        candidates: What to try.
        probes: uint8 (B, T, H, W, C) RGB.
    """
    expected = reference.run(probes)
    engines = []
    for candidate in candidates:
        try:
            engine = candidate.build()
            wrong = disagreement(engine.run(probes), expected)
        except Exception as e:  # noqa: BLE001  a missing compiler, an unknown operation, no memory: torch works
            wrong = f"{type(e).__name__}: {e}"
        if wrong is None:
            engines.append(engine)
        else:
            _log.warning("The engine %s is not used. got: %.500s", candidate.name, wrong)
    return engines


def disagreement(got: Encoded, expected: Encoded) -> str | None:
    """What is wrong with an engine's results, in words; None where they agree.

    Cosine distances of all vectors within 1e-4; lengths, errors and motions within a thousandth of the expected.
    """
    for name, ours, theirs in zip(Encoded._fields, got, expected, strict=True):
        if ours.shape != theirs.shape:
            return f"{name} of shape {tuple(ours.shape)} instead of {tuple(theirs.shape)}"
    distances = 1 - torch.cosine_similarity(got.embedding.double(), expected.embedding.double())
    if not bool((distances <= COSINE_TOLERANCE).all()):  # so that NaN does not pass
        return f"a cosine distance of {distances.max():.1e}"
    lengths = got.embedding.norm(dim=1), expected.embedding.norm(dim=1)
    pairs = {"length": lengths, **{name: (getattr(got, name), getattr(expected, name)) for name in Encoded._fields[1:]}}
    for name, (ours, theirs) in pairs.items():
        if not torch.allclose(ours, theirs, rtol=RELATIVE_TOLERANCE, atol=1e-6):
            return f"{name} of {ours.tolist()} instead of {theirs.tolist()}"
    return None


def probes_for(clip_s: float) -> int:
    """Clips of a test, for a network that takes clip_s seconds a clip."""
    return max(_MIN_PROBES, min(BATCH_CLIPS, int(_TEST_S / max(clip_s, 1e-9))))


def probe_clips(num_clips: int, shape: Sequence[int]) -> Tensor:
    """Clips to test engines with: noise, a still picture of noise, one colour, moving stripes, and again.

    Args:
        num_clips: How many.
        shape: (T, H, W, C).
    Returns:
        uint8 (B, T, H, W, C), always the same.
    """
    generator = torch.Generator().manual_seed(0)
    T, H, W, C = shape
    along = torch.arange(T)[:, None, None, None] + torch.arange(W)[:, None]  # (T, 1, W, 1)
    clips = []
    for index in range(num_clips):
        noise = torch.randint(0, 256, (T, H, W, C), dtype=torch.uint8, generator=generator)
        stripes = 127.5 * (1 + torch.sin(along * (0.2 + 0.1 * index)))
        level = torch.tensor(255 * (index // 4 % 3) // 2)  # black, grey, white
        picture = (noise, noise[:1], level, stripes)[index % 4]
        clips.append(picture.to(torch.uint8).expand(T, H, W, C))
    return torch.stack(clips)
