"""Train from a packed clip file and judge the frozen vectors; one JSON line.

python -m benchmarks.train_steps --pack shared/videos/jhmdb/labels.csv --clips jhmdb.safetensors
python -m benchmarks.train_steps --clips jhmdb.safetensors --set epochs=100 instance_weight=1 view_frames=16
python -m benchmarks.train_steps --clips jhmdb.safetensors --final --set ...

Without --final a quarter of the training side's sources is held out and judged on, and no test clip is looked at: that
is where settings are chosen. --final trains on all of the training side and judges on the test side, once.
"""

import argparse
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.train_steps import run
from benchmarks.train_steps.clips import GROUP_COLUMN, read_packed
from benchmarks.train_steps.held_out import to_choose_on
from pipeline.decode.sampling import SamplingConfig
from pipeline.train.config import TrainConfig

VALIDATION_SEED = 0  # not that of the training: all seeds of a ladder are judged on the same sources
SAMPLING = SamplingConfig(frames_per_clip=32, sample_fps=30.0, stride_s=1.0, size_px=64)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.train_steps", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="packed clip file")
    parser.add_argument("--pack", type=Path, help="make the packed clip file from this labels CSV, and stop")
    parser.add_argument("--split", default="split1")
    parser.add_argument("--validate", default=GROUP_COLUMN, metavar="GROUP_COLUMN", help="hold out whole groups of it")
    parser.add_argument("--final", action="store_true", help="judge on the test side, after everything is chosen")
    parser.add_argument("--labels", action="store_true", help="learn from labels too")
    parser.add_argument("--r3d18", action="store_true", help="train the control in place of our network")
    parser.add_argument("--controls", action="store_true", help="only the controls that need no training")
    parser.add_argument("--checkpoint", type=Path, help="folder to write the trained network to")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="fields of the training config")
    args = parser.parse_args()
    if args.pack:
        from benchmarks.train_steps.pack import pack  # where clips are packed already, no decoder is needed

        print(json.dumps({"clips": pack(args.pack, args.clips, SAMPLING)}))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    clips, config = read_packed(args.clips), _config(args.set)
    clips = replace(clips, frames=clips.frames.to(device))
    if not args.final:
        clips = to_choose_on(clips, args.split, group_column=args.validate, seed=VALIDATION_SEED)
    judged_on = "test" if args.final else f"sources of {args.validate} held out of train"
    told: dict[str, Any] = {
        "judged_on": judged_on,
        "split": args.split,
        "set": args.set,
        "labels": args.labels,
        "device": _name(device),
    }
    if args.controls:
        print(json.dumps({**told, "controls": run.controls(clips, args.split, config, device)}), flush=True)
        return
    trained = run.train(clips, args.split, config, uses_labels=args.labels, is_r3d18=args.r3d18, device=device)
    size = clips.frames.shape[2]
    told |= {**trained.figures, **run.macs(trained.model, config.view_frames or clips.frames.shape[1], size)}
    told["tflops"] = round(3 * 2 * told["gmac"] * told["views_per_s"] / 1000, 2)
    told |= {"r3d18": args.r3d18, **run.score(trained.model, clips, args.split, seed=config.seed)}
    if args.checkpoint:
        told["digest"] = run.save(trained.model, args.checkpoint, clips, asdict(SAMPLING), uses_labels=args.labels)
    print(json.dumps(told), flush=True)


def _config(settings: list[str]) -> TrainConfig:
    given = dict(setting.split("=", 1) for setting in settings)
    known = {field.name: type(field.default) for field in fields(TrainConfig)}
    return TrainConfig(**{name: known[name](value) for name, value in given.items()})


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    main()
