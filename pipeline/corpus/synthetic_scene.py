"""Motion and source group -> the frames of one synthetic clip: a textured patch over a drifting textured background.

+----------------------+
| . background drifts .|   left_to_right ... bottom_to_top: the patch crosses the frame
| .  . +-------+ .  . .|   expand: it grows from small to large and starts again
| . .  | patch |  . .  |   rotate: it turns on the spot
| .  . +-------+ .  .  |   What leaves at one edge enters at the other, for every motion: each place is as likely
+----------------------+   as the next, and no slice of a clip is empty.
"""

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Motion = Literal["left_to_right", "right_to_left", "top_to_bottom", "bottom_to_top", "expand", "rotate"]
Family = Literal["bricks", "dots", "grain", "stripes"]
Palette = Literal["warm", "cool"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)
FAMILIES: tuple[Family, ...] = get_args(Family)
PALETTES: dict[Palette, tuple[float, float]] = {"warm": (-0.08, 0.17), "cool": (0.33, 0.72)}  # ranges of hue

WIDTH_PX, HEIGHT_PX = 160, 120
TEXTURE_PX = 256  # square and periodic: a shift of any size is a lookup
# Of the patch: its far corners stay within half the frame. `expand` runs through the range that the others draw from.
RADIUS_PX = (12.0, 33.0)
NOISE = 5.0  # of the sensor: standard deviation on the scale of 0 to 255
ASPECT = 1.5  # of the patch, so that a turn shows in its outline too
DIRECTION = {"left_to_right": (0, 1), "right_to_left": (0, -1), "top_to_bottom": (1, 0), "bottom_to_top": (-1, 0)}

Floats = NDArray[np.float32]
Frame = NDArray[np.uint8]  # (H, W, C) RGB


@dataclass(frozen=True)
class Scene:
    """One clip before it is drawn.

    Args:
        motion: Its label.
        background: Periodic texture float32 (TEXTURE_PX, TEXTURE_PX, C) RGB in [0, 255].
        patch: As background.
        drift_px: (y, x) of the background in each frame.
        centre: (y, x) of the patch at the start, in parts of the frame, [0, 1).
        radius_px: Half the patch's height, in RADIUS_PX; for `expand` the size it starts with.
        angle_rad: Of the patch; for `rotate` the angle it starts with.
        speed: In [0.7, 1.3], times what is usual for the motion.
        noise_seed: Of the sensor noise.
    """

    motion: Motion
    background: Floats
    patch: Floats
    drift_px: tuple[float, float]
    centre: tuple[float, float]
    radius_px: float
    angle_rad: float
    speed: float
    noise_seed: int


def draw_textures(family: Family, palette: Palette, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One dark and one bright texture, in random order: (background, patch)."""
    dark = _colour(_pattern(family, rng), palette, (0.15, 0.45), rng)
    bright = _colour(_pattern(family, rng), palette, (0.6, 1.0), rng)
    return (dark, bright) if rng.random() < 0.5 else (bright, dark)


def draw_scene(motion: Motion, textures: tuple[Floats, Floats], rng: np.random.Generator) -> Scene:
    """Everything but the motion at random, from the same ranges for every motion."""
    shift = tuple(int(step) for step in rng.integers(TEXTURE_PX, size=2))
    drift = rng.uniform(-0.6, 0.6, size=2)
    return Scene(
        motion=motion,
        background=np.roll(textures[0], shift, axis=(0, 1)),
        patch=textures[1],
        drift_px=(float(drift[0]), float(drift[1])),
        centre=(float(rng.random()), float(rng.random())),
        radius_px=float(rng.uniform(*RADIUS_PX)),
        angle_rad=float(rng.uniform(0, 2 * np.pi)),
        speed=float(rng.uniform(0.7, 1.3)),
        noise_seed=int(rng.integers(2**32)),
    )


def render_frames(scene: Scene, num_frames: int) -> Iterator[Frame]:
    """The frames in order, uint8 (H, W, C) RGB."""
    background = np.pad(scene.background, ((0, HEIGHT_PX + 1), (0, WIDTH_PX + 1), (0, 0)), mode="wrap")
    noise = np.random.default_rng(scene.noise_seed)
    for index in range(num_frames):
        frame = _window(background, index * scene.drift_px[0], index * scene.drift_px[1])
        _draw_patch(frame, scene, index)
        frame += noise.standard_normal((HEIGHT_PX, WIDTH_PX, 1), dtype=np.float32) * NOISE
        yield np.clip(frame, 0, 255).astype(np.uint8)


def _window(texture: Floats, y: float, x: float) -> Floats:
    """Cut a frame out of a texture that was padded by one frame, between pixels bilinearly: float32 (H, W, C)."""
    top, left = int(np.floor(y)), int(np.floor(x))
    down, right = y - top, x - left
    top, left = top % TEXTURE_PX, left % TEXTURE_PX
    block = texture[top : top + HEIGHT_PX + 1, left : left + WIDTH_PX + 1]
    rows = block[:-1] * np.float32(1 - down) + block[1:] * np.float32(down)
    return np.asarray(rows[:, :-1] * np.float32(1 - right) + rows[:, 1:] * np.float32(right), dtype=np.float32)


def _draw_patch(frame: Floats, scene: Scene, index: int) -> None:
    """Blend the patch into the frame (H, W, C) as it is in one frame of the clip."""
    (y, x), radius_px, angle_rad = _place(scene, index)
    # The distance to the nearest of the patch's copies on the torus.
    down = (np.arange(HEIGHT_PX, dtype=np.float32)[:, None] - y + HEIGHT_PX / 2) % HEIGHT_PX - HEIGHT_PX / 2
    right = (np.arange(WIDTH_PX, dtype=np.float32)[None] - x + WIDTH_PX / 2) % WIDTH_PX - WIDTH_PX / 2
    cos, sin = float(np.cos(angle_rad)), float(np.sin(angle_rad))
    u = (cos * down + sin * right) / radius_px  # the patch's own coordinates, 1 at its edge
    v = (cos * right - sin * down) / (radius_px * ASPECT)
    cover = np.clip((1 - (u * u) ** 2 - (v * v) ** 2) * 4, 0, 1)  # a rectangle with round corners and a soft edge
    inside = np.nonzero(cover)
    colour = _sample(scene.patch, u[inside] * 30, v[inside] * (30 * ASPECT))  # the texture scales with the patch
    frame[inside] += cover[inside][:, None] * (colour - frame[inside])


def _place(scene: Scene, index: int) -> tuple[tuple[float, float], float, float]:
    """(y, x) of the centre in pixels, radius in pixels and angle of the patch in one frame."""
    y, x = scene.centre[0] * HEIGHT_PX, scene.centre[1] * WIDTH_PX
    radius_px, angle_rad = scene.radius_px, scene.angle_rad
    if scene.motion == "expand":
        smallest, largest = RADIUS_PX
        radius_px = smallest + (radius_px - smallest + 0.8 * scene.speed * index) % (largest - smallest)
    elif scene.motion == "rotate":
        angle_rad += 0.1 * scene.speed * index
    else:
        sign_y, sign_x = DIRECTION[scene.motion]
        y += sign_y * 2.5 * scene.speed * index
        x += sign_x * 2.5 * scene.speed * index
    return (y, x), radius_px, angle_rad


def _sample(texture: Floats, y: NDArray[np.floating], x: NDArray[np.floating]) -> Floats:
    """Bilinear lookup of N points in a periodic texture: float32 (N, C)."""
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    down, right = (y - top)[:, None], (x - left)[:, None]
    top, left = top % TEXTURE_PX * TEXTURE_PX, left % TEXTURE_PX
    below, beside = (top + TEXTURE_PX) % TEXTURE_PX**2, (left + 1) % TEXTURE_PX
    points = texture.reshape(-1, 3)
    upper = points[top + left] * (1 - right) + points[top + beside] * right
    lower = points[below + left] * (1 - right) + points[below + beside] * right
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


def _pattern(family: Family, rng: np.random.Generator) -> Floats:
    """Periodic brightness float32 (TEXTURE_PX, TEXTURE_PX) in [0, 1]."""
    rows, columns = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX].astype(np.float32) / TEXTURE_PX
    if family == "stripes":
        waves_y, waves_x = rng.integers(4, 13, size=2) * rng.choice([-1, 1], size=2)
        wave = np.sin(2 * np.pi * (waves_y * rows + waves_x * columns))
    elif family == "dots":
        num_dots = int(rng.integers(8, 17))
        wave = np.sin(2 * np.pi * num_dots * rows) * np.sin(2 * np.pi * num_dots * columns) - 0.25
    elif family == "bricks":
        courses = int(rng.integers(5, 9)) * 2  # even, so that the half-brick offset is periodic
        across = columns * courses / 2 + 0.5 * (np.floor(rows * courses) % 2)
        wave = np.minimum((rows * courses) % 1, (across % 1) * 2) - 0.15
    else:
        wave = _grain(rng)
    wave = wave + 0.3 * _grain(rng)  # dirt: no two patches of a pattern are the same
    return np.asarray(1 / (1 + np.exp(-4 * wave)), dtype=np.float32)


def _grain(rng: np.random.Generator) -> NDArray[np.float64]:
    """Periodic noise of standard deviation 1 with blobs of about a twelfth of the texture."""
    frequencies = np.hypot(*np.meshgrid(*[np.fft.fftfreq(TEXTURE_PX, 1 / TEXTURE_PX)] * 2))
    band = np.exp(-(((frequencies - 12) / 6) ** 2))
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TEXTURE_PX, TEXTURE_PX))) * band).real
    return np.asarray(noise / noise.std())


def _colour(pattern: Floats, palette: Palette, brightness: tuple[float, float], rng: np.random.Generator) -> Floats:
    """Paint the brightness pattern with two colours of the palette: float32 (H, W, C) RGB in [0, 255]."""
    hues, saturations = rng.uniform(*PALETTES[palette], size=2) % 1, rng.uniform(0.4, 0.9, size=2)
    ends = [
        np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32) * 255
        for hue, saturation, value in zip(hues, saturations, brightness, strict=True)
    ]
    return np.asarray(ends[0] + pattern[..., None] * (ends[1] - ends[0]), dtype=np.float32)
