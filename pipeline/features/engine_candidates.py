"""Other ways to run a network than step by step as it was trained.

    tuned       batch norms folded into convolutions, 1x1x1 convolutions as such, channels last       everywhere
    bfloat16    autocast                                                                              } on GPUs
    graph       every kernel of a batch launched at once: small networks wait for launches only       }
    compiled    torch.compile, which fuses kernels and launches them as a graph too                    }

ONNX Runtime and OpenVINO are not among them: on two cores neither beat `tuned` by as much as it weighs (docs/log.md).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from pipeline.features.engine import Encoded, Engine, FixedBatchEngine, TorchEngine
from pipeline.model.autoencoder import VideoAutoencoder
from pipeline.model.blocks import Pointwise

_WARM_UP_RUNS = 3  # cuDNN chooses its kernels in the first; allocations settle in the second


@dataclass(frozen=True)
class Candidate:
    """A way to run a network that has to prove itself.

    Args:
        name: What logs and counts call it.
        build: Makes the engine.
        build_s: Seconds that takes.
    """

    name: str
    build: Callable[[], Engine]
    build_s: float = 0.0


def candidates(model: VideoAutoencoder, *, device: torch.device) -> list[Candidate]:
    """What there is to try for a network on its device.

    Args:
        model: In evaluation mode, on the device; left as it is.
        device: Where it runs.
    """
    found = [Candidate("tuned", partial(_tuned, model, device))]
    if device.type == "cuda":
        bfloat16 = partial(TorchEngine, "bfloat16", model, device=device, autocast=torch.bfloat16)
        found += [
            Candidate("bfloat16", bfloat16),
            Candidate("graph", partial(_graph, model, device)),
            Candidate("compiled", partial(_compiled, model, device), build_s=60.0),
        ]
    return found


def tuned(model: VideoAutoencoder) -> VideoAutoencoder:
    """A copy that computes the same, to rounding, in fewer and faster steps.

    `Pointwise` as a convolution goes to oneDNN instead of MKL, whose matrix products are slow on AMD: most of the 18 %
    of CPU time that `sora_xs` saved there. `article` saved 30 %, by its folded norms and by channels last.
    """
    copied = copy.deepcopy(model).eval()
    _rewrite(copied)
    copied.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch forgot to annotate it
    return copied


class _PointwiseConv(nn.Module):
    """`Pointwise` as the 1x1x1 convolution that it is."""

    def __init__(self, linear: Pointwise):
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach()[:, :, None, None, None], requires_grad=False)
        self.bias = nn.Parameter(linear.bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self.weight, self.bias)


class _Remembered(TorchFunctionMode):
    """Makes every constant of a network's code once: a captured graph may not copy from the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self._tensors: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        key = repr((args, sorted(kwargs.items())))
        if key not in self._tensors:
            self._tensors[key] = func(*args, **kwargs)
        return self._tensors[key]


def _rewrite(module: nn.Module) -> None:
    before: nn.Module | None = None
    for name, child in module.named_children():
        if isinstance(child, Pointwise):
            setattr(module, name, _PointwiseConv(child))
        elif isinstance(child, nn.ReLU) and isinstance(before, nn.Identity):
            child.inplace = True  # what it overwrites is a convolution's, and nobody else's
        else:
            _rewrite(child)
        if isinstance(module, nn.Sequential) and isinstance(child, nn.BatchNorm3d):
            _fold(module, before, child)
        before = getattr(module, name)


def _fold(chain: nn.Sequential, before: nn.Module | None, norm: nn.BatchNorm3d) -> None:
    """Fold a batch norm into the convolution before it, and leave an identity in its place."""
    if isinstance(before, nn.Conv3d | nn.ConvTranspose3d):
        position = list(chain).index(norm)
        folded: nn.Module = fuse_conv_bn_eval(before, norm, transpose=isinstance(before, nn.ConvTranspose3d))
        chain[position - 1], chain[position] = folded, nn.Identity()


def _tuned(model: VideoAutoencoder, device: torch.device) -> Engine:
    return TorchEngine("tuned", tuned(model), device=device, memory_format=torch.channels_last_3d)


def _compiled(model: VideoAutoencoder, device: torch.device) -> Engine:
    engine = TorchEngine("compiled", model, device=device)
    return FixedBatchEngine(
        "compiled", torch.compile(engine.compute, dynamic=False, mode="reduce-overhead"), device=device
    )


def _graph(model: VideoAutoencoder, device: torch.device) -> Engine:
    return FixedBatchEngine("graph", _Graph(TorchEngine("graph", model, device=device).compute), device=device)


class _Graph:
    """A function of frames, captured when it is first called, and replayed from then on; frames keep their shape."""

    def __init__(self, compute: Callable[[Tensor], Encoded]):
        self._compute = compute
        self._constants = _Remembered()
        self._captured: tuple[torch.cuda.CUDAGraph, Tensor, Encoded] | None = None

    def __call__(self, frames: Tensor) -> Encoded:
        if self._captured is None:
            self._captured = self._capture(frames.clone())
        graph, read, written = self._captured  # replay reads and writes where capture did
        read.copy_(frames)
        graph.replay()
        return written

    def _capture(self, frames: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Encoded]:
        aside = torch.cuda.Stream(frames.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        with self._constants:
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP_RUNS):
                    self._compute(frames)
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph):
                return graph, frames, self._compute(frames)
