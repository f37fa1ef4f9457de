"""From a configuration to a network: the door of `pipeline.model`."""

from pipeline.errors import ConfigError
from pipeline.model.article import ArticleAutoencoder
from pipeline.model.config import Architecture, ModelConfig
from pipeline.model.interface import Codes, Output, VideoAutoencoder
from pipeline.model.sora import SoraAutoencoder

__all__ = ["Codes", "Output", "VideoAutoencoder", "build_model"]

ARCHITECTURES: dict[Architecture, type[ArticleAutoencoder | SoraAutoencoder]] = {
    "article": ArticleAutoencoder,
    "sora": SoraAutoencoder,
}


def build_model(config: ModelConfig, *, num_classes: int) -> VideoAutoencoder:
    """Build a network with fresh weights, drawn from torch's global generator.

    Args:
        config: The network's shape.
        num_classes: Classes of the softmax head; 0 builds no head.
    Raises:
        ConfigError: num_classes is negative.
    """
    if num_classes < 0:
        raise ConfigError("the number of classes is negative", where="num_classes", got=num_classes, expected=">= 0")
    return ARCHITECTURES[config.architecture](config, num_classes=num_classes)
