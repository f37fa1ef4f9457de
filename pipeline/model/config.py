"""Which network: a frozen value, a handful of named ones, and their JSON form."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any, Literal, get_args

from pipeline.errors import ConfigError

Architecture = Literal["article", "sora"]
NUM_STAGES: Mapping[str, int] = {"article": 2, "sora": 4}


@dataclass(frozen=True)
class ModelConfig:
    """Everything that decides a network's shape, less the number of classes.

    Args:
        name: The name it is known by in tables and on the command line.
        architecture: `article` (the published network) or `sora` (Haar stem, two codes).
        widths: Channels of each stage, from pixels to code.
        depths: Residual blocks of each stage; `sora` repeats them, mirrored, in the decoder.
        latent_channels: Channels of the spatial code z.
        embedding_dim: Length of the vector e_t, and of the embedding.
        is_causal: The encoder looks at earlier frames only, so that a stream can be encoded as it comes; `sora` alone.
    """

    name: str
    architecture: Architecture
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    latent_channels: int
    embedding_dim: int
    is_causal: bool = False

    def __post_init__(self) -> None:
        if self.architecture not in get_args(Architecture):
            raise _wrong("architecture", self.architecture, f"one of {', '.join(get_args(Architecture))}")
        num_stages = NUM_STAGES[self.architecture]
        for name, values in (("widths", self.widths), ("depths", self.depths)):
            if not (isinstance(values, tuple) and len(values) == num_stages and all(_is_count(v) for v in values)):
                raise _wrong(name, values, f"a tuple of {num_stages} integers >= 0 for {self.architecture}")
        for name, value in (("latent_channels", self.latent_channels), ("embedding_dim", self.embedding_dim)):
            if not _is_count(value) or value == 0:
                raise _wrong(name, value, "an integer >= 1")
        if not isinstance(self.is_causal, bool) or (self.is_causal and self.architecture != "sora"):
            raise _wrong("is_causal", self.is_causal, "false, or true for sora")
        if 0 in self.widths:
            raise _wrong("widths", self.widths, "every width >= 1")
        if self.architecture == "article" and self.latent_channels != self.widths[-1]:
            raise _wrong("latent_channels", self.latent_channels, f"{self.widths[-1]}, the width of the article's code")


def article() -> ModelConfig:
    """The article's network: 3.07 M parameters, 31.7 GMAC for a clip of 16x64x64."""
    return ModelConfig("article", "article", widths=(64, 128), depths=(0, 3), latent_channels=128, embedding_dim=64)


def sora_xs() -> ModelConfig:
    """The smallest of our family: trains on two CPU cores.

    z has 16 channels at (T/4, H/8, W/8): 3*4*8*8 = 768 input values become 16, a compression of 48:1.
    """
    return ModelConfig(
        "sora_xs",
        "sora",
        widths=(16, 64, 96, 160),
        depths=(1, 1, 1, 1),
        latent_channels=16,
        embedding_dim=64,
    )


def sora_s() -> ModelConfig:
    """Encoder of 3.7 M parameters, 0.8 GMAC for a clip of 16x64x64; wants a GPU, or patience."""
    return _sora("sora_s", widths=(32, 128, 192, 288), depths=(1, 1, 2, 2))


def sora_m() -> ModelConfig:
    """Encoder of 8.7 M parameters, 2.7 GMAC for a clip of 16x64x64; wants a GPU."""
    return _sora("sora_m", widths=(48, 160, 256, 384), depths=(3, 2, 4, 2))


def sora_l() -> ModelConfig:
    """Encoder of 25 M parameters, 6.6 GMAC for a clip of 16x64x64; wants several GPUs."""
    return _sora("sora_l", widths=(64, 256, 384, 576), depths=(2, 3, 4, 3))


def _sora(name: str, *, widths: tuple[int, ...], depths: tuple[int, ...]) -> ModelConfig:
    return ModelConfig(name, "sora", widths, depths, latent_channels=16, embedding_dim=128)


def causal(config: ModelConfig) -> ModelConfig:
    """The same network with an encoder that looks at earlier frames only."""
    return replace(config, name=f"{config.name}_causal", is_causal=True)


_SORA = (sora_xs, sora_s, sora_m, sora_l)
NAMED_CONFIGS: dict[str, Callable[[], ModelConfig]] = {
    "article": article,
    **{make.__name__: make for make in _SORA},
    **{f"{make.__name__}_causal": partial(lambda make: causal(make()), make) for make in _SORA},
}


def named_config(name: str) -> ModelConfig:
    """Return the configuration of that name.

    Raises:
        ConfigError: no configuration has that name; the message lists those that exist.
    """
    if name not in NAMED_CONFIGS:
        raise _wrong("config", name, f"one of {', '.join(sorted(NAMED_CONFIGS))}")
    return NAMED_CONFIGS[name]()


def to_json(config: ModelConfig) -> str:
    """Return the canonical JSON of a configuration: sorted keys, no spaces, so that equal configs give equal bytes."""
    return json.dumps(asdict(config), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> ModelConfig:
    """Read what `to_json` wrote.

    Raises:
        ConfigError: not JSON, a key too many or too few, or a value out of range.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"a model configuration is not JSON: {error}", got=text[:200], expected="a JSON object"
        ) from error
    known = {field.name for field in fields(ModelConfig)}
    if not isinstance(values, dict) or set(values) != known:
        got = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise _wrong("the set of keys", got, sorted(known))
    arguments: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return ModelConfig(**arguments)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong(what: str, got: object, expected: object) -> ConfigError:
    return ConfigError(f"the model configuration has a wrong value for {what}", where=what, got=got, expected=expected)
