"""Networks in eight bits for the CPU: convolutions multiply integers, everything else stays float32.

float x --256 levels of the range seen in calibration--> uint8 --oneDNN, int8 weights, int32 sums--> float

One scale a tensor for what goes in, one an output channel for weights; static, from the smallest and largest values
that the calibration clips gave (Jacob et al. 2018, arXiv:1712.05877). The ranges are tensors of the network, saved
beside the float weights, so a quantized network is another network: with a digest of its own. Matrix products
(`Pointwise`) stay float: rounding their input costs as much as they do.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.model.interface import VideoAutoencoder

RANGE = "input_range"
_LEVELS = 255
_MIN_SCALE = 1e-8  # of a tensor that is zero everywhere


class QuantizedConv(nn.Module):
    """A Conv3d whose products are of 8-bit integers; CPU and inference only.

    Args:
        layer: What it does in float; its parameters keep their names.
    """

    input_range: Tensor  # float32 (2,), the smallest and the largest input of the calibration

    def __init__(self, layer: nn.Conv3d):
        super().__init__()
        assert layer.groups == 1, f"groups are not packed, got {layer}"
        assert isinstance(layer.padding, tuple), f"padding by name is not packed, got {layer}"
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer(RANGE, torch.zeros(2))
        self._shape = (list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups)
        self._run: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Float (B, C, T, H, W) in and out; values outside the range are clipped to it."""
        if x.device.type != "cpu":
            raise ValueError(f"expected a CPU, got {x.device}: networks in eight bits run on CPUs")
        if self._run is None:
            self._run = self._packed()
        return self._run(x.contiguous(memory_format=torch.channels_last_3d))

    def _packed(self) -> Callable[[Tensor], Tensor]:
        """The integer convolution, its weights rounded and laid out once."""
        low, high = self.input_range.tolist()
        scale = max((high - low) / _LEVELS, _MIN_SCALE)
        zero = min(max(round(-low / scale), 0), _LEVELS)
        weight_scales = self.weight.detach().abs().amax(dim=(1, 2, 3, 4)).clamp_min(_MIN_SCALE) / 127
        integers = (self.weight.detach() / weight_scales[:, None, None, None, None]).round().to(torch.int8)
        packed = torch.ops.onednn.qconv_prepack(integers, weight_scales, scale, zero, *self._shape, None)
        weight_zeros = torch.zeros(len(weight_scales), dtype=torch.int32)
        half_up = torch.tensor(zero + 0.5)  # the conversion to uint8 cuts the fraction off

        def run(x: Tensor) -> Tensor:
            levels = torch.add(half_up, x, alpha=1 / scale).clamp_(0, _LEVELS).to(torch.uint8)
            integer = (levels, scale, zero, packed, weight_scales, weight_zeros, self.bias)
            out = torch.ops.onednn.qconv_pointwise(*integer, *self._shape, 1.0, 0, torch.float32, "none", [], "")
            return cast(Tensor, out)

        return run


def quantize(model: VideoAutoencoder, batches: Iterable[Tensor]) -> None:
    """Turn a network in place into one of eight bits.

    Args:
        model: On the CPU, in evaluation mode.
        batches: Calibration clips, float (B, 3, T, H, W) in [-1, 1]; the ranges are those of all of them.
    Raises:
        ValueError: there is no clip.
    """
    ranges = {name: torch.zeros(2) for name, _ in _convolutions(model)}  # zero is always inside: padding is zero
    handles = [layer.register_forward_pre_hook(_widen(ranges[name])) for name, layer in _convolutions(model)]
    num_batches = 0
    with torch.inference_mode():
        for x in batches:
            model(x)
            num_batches += 1
    for handle in handles:
        handle.remove()
    if not num_batches:
        raise ValueError("expected at least one calibration clip")
    for name, layer in replace_convolutions(model, set(ranges)).items():
        layer.input_range.copy_(ranges[name])


def replace_convolutions(model: VideoAutoencoder, names: set[str]) -> dict[str, QuantizedConv]:
    """Put a QuantizedConv, its range zero, in the place of each named convolution; returns them by name."""
    replaced = {name: QuantizedConv(layer) for name, layer in _convolutions(model) if name in names}
    for name, layer in replaced.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    return replaced


def is_quantized(model: nn.Module) -> bool:
    """Whether any layer computes in eight bits."""
    return any(isinstance(module, QuantizedConv) for module in model.modules())


def _convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Conv3d]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv3d))


def _widen(seen: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        seen.copy_(torch.stack([torch.minimum(seen[0], x.min()), torch.maximum(seen[1], x.max())]))

    return hook
