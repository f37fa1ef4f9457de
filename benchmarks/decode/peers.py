"""Other ways to get the same frames, each as its documentation does it best: one thread, scaled to the same square.

Every function takes a workload and returns uint8 (T, H, W, C) RGB arrays, in the order of its videos and clips. The
imports stand inside: each function runs in the environment that has its library and none of the others.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.decode.wanted import SIZE_PX, Video, Workload

Frames = NDArray[np.uint8]
_FAR_FRAMES = 64  # a gap as long is jumped over: OpenCV's seek decodes 16 frames or more before its target
_BATCH = 8  # frames of a call to torchcodec; with 64 of 1280x720 the caches are too small and it is a fifth slower
_INTO_FRAME_S = 0.001  # so that rounding does not show the frame before
_PIPE_BYTES = 1 << 20  # the most an ordinary user may ask for; sixteen times the default, fewer switches


def command_line(workload: Workload) -> list[Frames]:
    """ffmpeg, raw pictures through a pipe: a process for all files, for each file, or for each clip after a seek.

    All files where every frame is wanted: the concat demuxer saves the start of a process for each.
    """
    if workload.is_dense:
        with tempfile.NamedTemporaryFile("w", suffix=".ffconcat") as listing:
            names = [video.path.replace("'", r"'\''") for video in workload.videos]
            listing.write("ffconcat version 1.0\n" + "".join(f"file '{name}'\n" for name in names))
            listing.flush()
            source = ["-f", "concat", "-safe", "0", "-i", listing.name]
            return [_piped(source, f"scale={SIZE_PX}:{SIZE_PX}", workload.num_wanted)]
    return [
        _piped(["-ss", f"{pts_s[0]:.6f}", "-i", video.path], _selection(clip), len(clip))
        for video in workload.videos
        for clip, pts_s in zip(video.clips, video.pts_s, strict=True)
    ]


def opencv(workload: Workload) -> list[Frames]:
    """VideoCapture: `grab` decodes, only wanted frames are retrieved, and a long gap is jumped over.

    Scaled by its default, INTER_LINEAR, which looks at four pixels and skips the others, as its deviation shows.
    INTER_AREA, which its documentation recommends for shrinking, averages all: 0.57 of the rate at 1280x720.
    """
    import cv2

    cv2.setNumThreads(1)
    delivered = []
    for video in workload.videos:
        capture = cv2.VideoCapture(video.path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        out = np.empty((len(video.indices), SIZE_PX, SIZE_PX, 3), np.uint8)
        is_read, next_index = True, 0
        for place, index in enumerate(video.indices):
            if index - next_index > _FAR_FRAMES:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
                next_index = index
            while is_read and next_index <= index:
                is_read, next_index = capture.grab(), next_index + 1
            if not is_read:
                out = out[:place]
                break
            _, picture = capture.retrieve()
            small = cv2.resize(picture, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=out[place])
        capture.release()
        delivered.append(out)
    return delivered


def decord(workload: Workload) -> list[Frames]:
    """VideoReader scales while it decodes; one `get_batch` for all frames wanted of a video."""
    import decord

    delivered = []
    for video in workload.videos:
        reader = decord.VideoReader(video.path, ctx=decord.cpu(0), width=SIZE_PX, height=SIZE_PX, num_threads=1)
        delivered.append(reader.get_batch(video.indices).asnumpy())
    return delivered


def torchcodec_exact(workload: Workload) -> list[Frames]:
    """VideoDecoder that scans the file first, then takes frames by index."""
    return [frames for video in workload.videos for frames in _batches(video, "exact", workload.is_dense)]


def torchcodec_approximate(workload: Workload) -> list[Frames]:
    """VideoDecoder that trusts the header: no scan, and a guess at where a frame lies where the rate varies."""
    return [frames for video in workload.videos for frames in _batches(video, "approximate", workload.is_dense)]


def _batches(video: Video, seek_mode: Literal["exact", "approximate"], is_dense: bool) -> Iterator[Frames]:
    """A few frames in a call, in order, which seeks only past a keyframe; scaled by torch.

    Scaling while it decodes, as its documentation recommends (transforms=[Resize]), reached 0.7 to 0.8 of this rate
    at all three sizes: on two cores, 2 to 4 runs each, in CPU seconds.
    """
    import torch
    from torchcodec.decoders import VideoDecoder

    torch.set_num_threads(1)
    decoder = VideoDecoder(video.path, num_ffmpeg_threads=1, seek_mode=seek_mode)
    pts_s = [time_s for clip in video.pts_s for time_s in clip]
    for start in range(0, len(pts_s), _BATCH):
        stop = min(start + _BATCH, len(pts_s))
        if is_dense:
            batch = decoder.get_frames_in_range(start, stop)
        elif seek_mode == "exact":
            batch = decoder.get_frames_at(video.indices[start:stop])
        else:
            batch = decoder.get_frames_played_at([time_s + _INTO_FRAME_S for time_s in pts_s[start:stop]])
        small = torch.nn.functional.interpolate(batch.data, size=(SIZE_PX, SIZE_PX), mode="bilinear", antialias=True)
        yield small.permute(0, 2, 3, 1).numpy()  # (B, C, H, W) to (B, H, W, C)


def _selection(clip: Sequence[int]) -> str:
    """A filter that lets the frames of one clip pass, counted from its first."""
    chosen = "+".join(f"eq(n\\,{index - clip[0]})" for index in clip)
    return f"select={chosen},scale={SIZE_PX}:{SIZE_PX}"


def _piped(source: Sequence[str], filters: str, num_frames: int) -> Frames:
    """Run ffmpeg to the last wanted frame and read its pictures into their place."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", *source, "-map", "0:v:0", "-filter_threads", "1"]
    command += ["-vf", filters, "-fps_mode", "passthrough", "-frames:v", str(num_frames)]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    out = np.empty((num_frames, SIZE_PX, SIZE_PX, 3), np.uint8)
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, pipesize=_PIPE_BYTES) as process:
        num_bytes = sum(_filled(process.stdout, memoryview(out).cast("B")))
    assert process.returncode == 0, f"ffmpeg ended with {process.returncode}: {' '.join(command)}"
    return out[: num_bytes // out[0].nbytes]


def _filled(pipe: Any, room: memoryview) -> Iterator[int]:
    """Read until the room is full or nothing comes; yields how much came each time."""
    while room and (num_bytes := pipe.readinto(room)):
        room = room[num_bytes:]
        yield num_bytes


def ffmpeg_version() -> dict[str, str]:
    """The first line of `ffmpeg -version`."""
    first = subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return {"ffmpeg": first.removeprefix("ffmpeg version ").partition(" Copyright")[0]}


def opencv_version() -> dict[str, str]:
    """Of OpenCV, and of the libavcodec in its wheel."""
    import cv2

    built = cv2.getBuildInformation().splitlines()
    codec = next((line.partition("YES")[2].strip(" ()") for line in built if "avcodec:" in line), "none")
    return {"opencv": cv2.__version__, "opencv_avcodec": codec}


def decord_version() -> dict[str, str]:
    """Of decord, whose wheel has an FFmpeg 4 of its own."""
    import decord

    return {"decord": decord.__version__}


def torchcodec_version() -> dict[str, str]:
    """Of torchcodec, torch and the FFmpeg that it loaded."""
    import torch
    import torchcodec

    found = {"torchcodec": torchcodec.__version__, "torch": torch.__version__}
    return found | {"torchcodec_ffmpeg": str(torchcodec.ffmpeg_major_version)}
