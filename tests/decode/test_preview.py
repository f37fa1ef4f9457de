"""The first look: copies are found, packets tell of cuts and motion, and damage is passed over."""

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import preview as module
from pipeline.decode.limits import DecodeLimits
from pipeline.decode.perceptual import hamming_distance, perceptual_digest
from pipeline.decode.preview import KeyFrames, preview, seconds
from pipeline.decode.records import Preview
from pipeline.decode.sandbox import Sandbox
from pipeline.errors import DecodeError
from tests.support.shared import shared_videos
from tests.support.videos import encode_video

NEAR_BITS = 10  # the bound of docs/glossary.md
LIMITS = DecodeLimits()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def look(data: bytes) -> Preview:
    return preview(io.BytesIO(data), LIMITS)


def frames(path: Path) -> list[np.ndarray]:
    """Every frame of a real video, uint8 (H, W, C) RGB at half its size."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24")[::2, ::2] for frame in container.decode(video=0)]


def encoded(
    pictures: Sequence[np.ndarray], *, crf: int = 23, gop: int = 250, scale: int = 1, scene_cuts: bool = True
) -> bytes:
    """H.264 in MP4, 25 frames a second."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=25)
        height, width = pictures[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width // 2 * 2 * scale, height // 2 * 2 * scale, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = gop
        stream.options = {"preset": "veryfast", "crf": str(crf), **({} if scene_cuts else {"sc_threshold": "0"})}
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def remuxed(data: bytes, container: str) -> bytes:
    """The same packets in another container, under another title, beside a sound stream."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(buffer, "w", format=container) as output:
        output.metadata["title"] = "another"
        stream = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        output.mux(sound.encode(silence))
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
        output.mux(sound.encode(None))
    return buffer.getvalue()


def clips(num: int) -> list[Path]:
    """One real clip of each of the first actions."""
    folders = sorted(path for path in (shared_videos() / "jhmdb").iterdir() if path.is_dir())
    return [sorted(folder.glob("*.mp4"))[0] for folder in folders][:num]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mov"])
def test_a_copy_in_another_container_with_other_tags_and_sound_has_the_same_content(container: str) -> None:
    original = encode_video(32, b_frames=2)
    copy = remuxed(original, container)
    assert copy != original
    assert look(copy).content_digest == look(original).content_digest


def test_other_bytes_of_video_are_other_content() -> None:
    digests = {look(encode_video(number)).content_digest for number in (16, 17, 18)}
    digests.add(look(encode_video(16, codec="mpeg4")).content_digest)
    assert len(digests) == 4


def test_five_key_frames_make_the_perceptual_digest() -> None:
    rng = np.random.default_rng(0)
    scenes = [
        rng.integers(60, 190, (8, 8, 1)).repeat(3, axis=2).repeat(12, axis=0).repeat(12, axis=1) for _ in range(5)
    ]
    data = encoded([scene.astype(np.uint8) for scene in scenes for _ in range(12)], gop=12, scene_cuts=False)
    with av.open(io.BytesIO(data)) as container:
        keys = [frame for frame in container.decode(video=0) if frame.key_frame]
        grey = [key.reformat(width=32, height=32, format="gray", interpolation="AREA").to_ndarray() for key in keys]
    assert len(keys) == 5
    assert look(data).perceptual_digest == perceptual_digest(grey)
    assert len({perceptual_digest(grey[:num]) for num in range(1, 6)}) == 5, "each of them counts"


@pytest.mark.shared_videos
def test_near_duplicates_are_near_and_others_are_not() -> None:
    originals, near, other_keys = [], [], []
    for path in clips(12):
        original = str(preview(path.open("rb"), LIMITS).perceptual_digest)
        pictures = frames(path)  # at half the size
        bright = [(picture * 0.9 + 20).astype(np.uint8) for picture in pictures]
        for copy in (encoded(pictures, crf=33), encoded(bright), encoded(pictures, scale=3)):
            near.append(hamming_distance(original, str(look(copy).perceptual_digest)))
        other_keys.append(hamming_distance(original, str(look(encoded(pictures, gop=12)).perceptual_digest)))
        originals.append(original)
    far = [hamming_distance(one, other) for one, other in itertools.combinations(originals, 2)]
    assert max(near) <= 6, near
    assert np.mean(np.array(other_keys) <= NEAR_BITS) >= 0.8, other_keys
    assert np.mean(np.array(far) > NEAR_BITS) > 0.98, far


@pytest.mark.shared_videos
@pytest.mark.parametrize(
    ("gop", "scene_cuts", "min_precision", "min_recall"), [(50, True, 0.85, 0.8), (30, False, 0.9, 0.5)]
)
def test_cut_candidates_are_cuts_and_cuts_are_candidates(
    gop: int, scene_cuts: bool, min_precision: float, min_recall: float
) -> None:
    """Real clips put one after the other, played forth and back so that shots are of different lengths."""
    rng, shots = np.random.default_rng(4), [frames(path) for path in clips(21)]
    num_hits = num_found = num_cuts = 0
    for first in range(0, 21, 7):
        lengths = rng.integers(20, 70, 7)
        played = [
            [*shot, *shot[-2:0:-1]] * 4 for shot in shots[first : first + 7] if shot[0].shape == shots[first][0].shape
        ]
        pictures = [picture for shot, length in zip(played, lengths, strict=False) for picture in shot[:length]]
        cuts_s = np.cumsum([min(len(shot), length) for shot, length in zip(played, lengths, strict=False)])[:-1] / 25
        found_s = np.array(look(encoded(pictures, gop=gop, scene_cuts=scene_cuts)).cut_candidates_s)
        num_hits += sum(bool(np.any(np.abs(found_s - cut_s) < 0.13)) for cut_s in cuts_s)
        num_found, num_cuts = num_found + len(found_s), num_cuts + len(cuts_s)
    assert num_cuts >= 15
    assert num_hits / num_found >= min_precision, (num_hits, num_found, num_cuts)
    assert num_hits / num_cuts >= min_recall, (num_hits, num_found, num_cuts)


@pytest.mark.shared_videos
def test_what_moves_more_scores_higher() -> None:
    """Rank correlation with the mean absolute difference of frames: 0.70 over all of J-HMDB (docs/log.md)."""
    scores, differences = [], []
    for path in sorted((shared_videos() / "jhmdb").glob("*/*.mp4"))[::12]:
        scores.append(preview(path.open("rb"), LIMITS).motion_score)
        pictures = np.array(frames(path), np.int16)
        differences.append(np.abs(np.diff(pictures, axis=0)).mean())
    ranks = np.argsort(np.argsort(scores)), np.argsort(np.argsort(differences))
    assert np.corrcoef(*ranks)[0, 1] > 0.55


@pytest.mark.shared_videos
def test_the_sandbox_sees_what_is_seen_in_process_and_no_file_brings_it_down(sandbox: Sandbox) -> None:
    """Every codec and every broken file: also that nothing is imported late, when no file can be opened any more."""

    def outcome(find: object, file: Path) -> object:
        try:
            with file.open("rb") as source:
                return find(source)
        except DecodeError as e:
            return e.error_class, str(e)

    sandbox.preview(io.BytesIO(encode_video(16)))
    pid, num_seen = sandbox.child_pid, 0
    for folder in ("codecs", "broken"):
        for file in sorted((shared_videos() / folder).iterdir()):
            inside = outcome(sandbox.preview, file)
            assert inside == outcome(lambda source: preview(source, LIMITS), file), file.name
            assert sandbox.child_pid == pid, file.name
            num_seen += isinstance(inside, Preview)
            if folder == "codecs" and file.name != "index.csv":
                assert isinstance(inside, Preview), file.name
    assert num_seen > 100


def test_a_file_that_is_cut_short_is_previewed_as_far_as_it_goes() -> None:
    whole = encode_video(200, container="mpegts", gop=20)
    cut = look(whole[: len(whole) // 2])
    assert cut.perceptual_digest is not None
    assert cut.content_digest != look(whole).content_digest
    assert cut == look(whole[: len(whole) // 2])


def test_limits_hold() -> None:
    for limits in (DecodeLimits(max_frames=10), DecodeLimits(max_duration_s=0.5), DecodeLimits(max_pixels=100)):
        with pytest.raises(DecodeError) as caught:
            preview(io.BytesIO(encode_video(32)), limits)
        assert caught.value.error_class == "too_large"


def test_a_failing_source_is_an_io_error(sandbox: Sandbox) -> None:
    class Unplugged(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("the store went away")

    for find in (sandbox.preview, lambda source: preview(source, LIMITS)):
        with pytest.raises(DecodeError) as caught:
            find(Unplugged(encode_video(16)))
        assert caught.value.error_class == "io_error"


def test_key_frames_are_spread_and_few_are_held() -> None:
    class Packet:
        def __init__(self, number: int, size: int):
            self.number, self.size, self.is_keyframe = number, size, number % 10 == 0

    for num, size, expected in (
        (1, 1, [0]),
        (10, 1, [0]),
        (50, 1, [0, 10, 20, 30, 40]),
        (10_000, 1, [0, 2040, 4090, 6140, 8190]),
        (10_000, module.MAX_NOTED_BYTES // 8, [0, 2040, 4090, 6140, 8190]),
    ):
        keys, held = KeyFrames(), 0
        for number in range(num):
            keys.see(Packet(number, size))  # type: ignore[arg-type]
            held = max(held, sum({packet.number: packet.size for packet in keys._noted}.values()))
        assert [packet.number for packet in keys.spread()] == expected, num
        assert held <= max(module.MAX_NOTED_BYTES, 32 * size // 10), num
    assert KeyFrames().spread() == []


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([5, 6, 7], [0, 1, 2]),
        ([5, 8, 6, 7], [0, 3, 1, 2]),  # decoded out of order
        ([5, 6, 1 << 62, (1 << 62) + 1024], [0, 1, 1.5, 2.0]),  # broken stamps: one frame period each
        ([-(1 << 62), 0, 1], [0, 0.5, 1.5]),
        ([7], [0]),
    ],
)
def test_stamps_become_seconds(ticks: list[int], expected: list[float]) -> None:
    assert seconds(np.array(ticks), 1.0, 0.5, 600.0).tolist() == expected
