"""Seed -> normal footage of fixed cameras, test footage in which something else happens for a while, and the truth.

normal   a patch passes along the camera's lane, from left to right or back, at 0.8 to 1.2 times the usual speed
fast     it passes at 2.5 times its speed              crossing  it goes down instead, at its speed
spin     it turns on the spot                          halt      it stands still
stranger it wears another pattern                      large     it is larger by a quarter or more than is normal

Cameras have their background, their lane and their passer-by's pattern and colours. A stranger wears others, and is as
bright on average. An anomaly begins and ends where the patch is: nothing but what is named changes.
"""

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.corpus.synthetic_scene import (
    DIRECTION,
    FAMILIES,
    HEIGHT_PX,
    WIDTH_PX,
    Family,
    Floats,
    Motion,
    Palette,
    Scene,
    draw_textures,
    render_frames,
)

Kind = Literal["fast", "crossing", "spin", "halt", "stranger", "large"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOTION_KINDS: frozenset[Kind] = frozenset({"fast", "crossing", "spin", "halt"})
CAMERAS: tuple[tuple[Family, Palette], ...] = (
    ("bricks", "warm"),
    ("dots", "cool"),
    ("grain", "warm"),
    ("stripes", "cool"),
)
FRAME_RATE = 25
NUM_FRAMES = 12 * FRAME_RATE
RADIUS_PX = (20.0, 24.0)
LARGE_PX = (30.0, 33.0)
LANES = (0.35, 0.45, 0.55, 0.65)  # of each camera, in parts of the height
LANE_WIDTH = 0.04
STEP_PX = 2.5  # a frame at speed 1, as synthetic_scene moves a patch


@dataclass(frozen=True)
class Corpus:
    """Two folders of videos and where the anomalies are; `kind_of` names what was planted, by path below `test`."""

    normal: Path
    test: Path
    truth: Path
    kind_of: dict[str, Kind | None]


def render(
    folder: Path,
    *,
    seed: int,
    num_normal: int = 72,
    num_rounds: int = 1,
    num_frames: int = NUM_FRAMES,
    kinds: Sequence[Kind] = KINDS,
) -> Corpus:
    """Render normal and test footage; what is there already is not rendered again.

    Args:
        folder: Gets normal/, test/ and truth.csv with path,start_frame,end_frame, half-open.
        seed: Other seed, other footage; cameras too.
        num_normal: Normal videos, dealt to the four cameras in turn.
        num_rounds: Test videos of each kind and camera; as many without an anomaly.
        num_frames: Of each video, at 25 a second; at least 100.
        kinds: What is planted.
    """
    textures = [draw_textures(*camera, np.random.default_rng([seed, 0, i])) for i, camera in enumerate(CAMERAS)]
    normal, test, kind_of, rows, work = folder / "normal", folder / "test", {}, [], []
    for index in range(num_normal):
        camera = index % len(CAMERAS)
        plan = [(_passing(textures[camera], camera, np.random.default_rng([seed, 1, index])), num_frames)]
        work.append((normal / f"camera{camera}-{index:03d}.mp4", plan))
    kinds = [kind for kind in (*kinds, None) for _ in range(num_rounds)]
    for index, (kind, camera) in enumerate((kind, camera) for kind in kinds for camera in range(len(CAMERAS))):
        rng = np.random.default_rng([seed, 2, index])
        path = f"camera{camera}-{index:03d}.mp4"  # the name does not tell
        kind_of[path] = kind
        plan = [(_passing(textures[camera], camera, rng), num_frames)]
        if kind is not None:
            start, length = int(rng.integers(num_frames // 5, num_frames // 2)), int(rng.integers(60, 110))
            end = min(start + length, num_frames * 9 // 10)
            plan = _planted(plan[0][0], kind, CAMERAS[camera], start, end, num_frames, rng)
            rows.append((path, start, end))
        work.append((test / path, plan))
    normal.mkdir(parents=True, exist_ok=True)
    test.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: _encode(*one), [one for one in work if not one[0].exists()]))
    with (folder / "truth.csv").open("w", newline="") as sink:
        csv.writer(sink).writerows([("path", "start_frame", "end_frame"), *rows])
    return Corpus(normal, test, folder / "truth.csv", kind_of)


def _passing(textures: tuple[Floats, Floats], camera: int, rng: np.random.Generator) -> Scene:
    motions: tuple[Motion, ...] = ("left_to_right", "right_to_left")
    lane = LANES[camera] + float(rng.uniform(-LANE_WIDTH, LANE_WIDTH))
    return Scene(
        motion=motions[int(rng.integers(2))],
        background=textures[0],
        patch=textures[1],
        drift_px=(0.0, 0.0),
        centre=(lane, float(rng.random())),
        radius_px=float(rng.uniform(*RADIUS_PX)),
        angle_rad=float(rng.uniform(-0.2, 0.2)),
        speed=float(rng.uniform(0.8, 1.2)),
        noise_seed=int(rng.integers(2**32)),
    )


def _planted(
    scene: Scene,
    kind: Kind,
    camera: tuple[Family, Palette],
    start: int,
    end: int,
    num_frames: int,
    rng: np.random.Generator,
) -> list[tuple[Scene, int]]:
    """Scenes and their numbers of frames: as usual, otherwise, and as usual again from where that ended."""
    odd = replace(_moved(scene, start), noise_seed=scene.noise_seed + 1)
    if kind == "fast":
        odd = replace(odd, speed=scene.speed * 2.5)
    elif kind == "crossing":
        odd = replace(odd, motion="top_to_bottom")
    elif kind == "spin":
        odd = replace(odd, motion="rotate")
    elif kind == "halt":
        odd = replace(odd, speed=0.0)
    elif kind == "large":
        odd = replace(odd, radius_px=float(rng.uniform(*LARGE_PX)))
    else:
        odd = replace(odd, patch=_strange(scene, camera, rng))
    centre = (scene.centre[0], _moved(odd, end - start).centre[1])  # back on its lane
    after = replace(scene, centre=centre, noise_seed=scene.noise_seed + 2)
    return [(scene, start), (odd, end - start), (after, num_frames - end)]


def _strange(scene: Scene, camera: tuple[Family, Palette], rng: np.random.Generator) -> Floats:
    """A patch of another family and palette, exactly as bright on average as the camera's own passers-by."""
    family = [name for name in FAMILIES if name != camera[0]][int(rng.integers(len(FAMILIES) - 1))]
    pair = draw_textures(family, "cool" if camera[1] == "warm" else "warm", rng)
    patch = min(pair, key=lambda one: abs(_luma(one) - _luma(scene.patch)))
    for _ in range(20):  # clipping takes some of what is added
        patch = np.clip(patch + (_luma(scene.patch) - _luma(patch)), 0, 255)
    return np.asarray(patch, dtype=np.float32)


def _luma(texture: Floats) -> float:
    """Mean brightness in [0, 255], as video weighs the colours (BT.601)."""
    return float((texture @ np.array([0.299, 0.587, 0.114])).mean())


def _moved(scene: Scene, num_frames: int) -> Scene:
    """The scene as it is after some frames."""
    if scene.motion not in DIRECTION:
        return scene
    sign_y, sign_x = DIRECTION[scene.motion]
    step = STEP_PX * scene.speed * num_frames
    y, x = scene.centre[0] + sign_y * step / HEIGHT_PX, scene.centre[1] + sign_x * step / WIDTH_PX
    return replace(scene, centre=(y % 1, x % 1))


def _frames(plan: list[tuple[Scene, int]]) -> Iterator[NDArray[np.uint8]]:
    for scene, num_frames in plan:
        yield from render_frames(scene, num_frames)


def _encode(file: Path, plan: list[tuple[Scene, int]]) -> None:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast", "qp": "26"})
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in _frames(plan):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
