"""A configuration is a value: it survives JSON, and a wrong one says what is wrong."""

import json
from dataclasses import replace

import pytest

from pipeline.errors import ConfigError
from pipeline.model.config import NAMED_CONFIGS, article, from_json, named_config, sora_xs, to_json


@pytest.mark.parametrize("name", sorted(NAMED_CONFIGS))
def test_a_config_survives_json_and_knows_its_name(name):
    config = named_config(name)
    assert from_json(to_json(config)) == config
    assert config.name == name


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"article, sora_l, sora_l_causal, .*sora_xs, sora_xs_causal") as caught:
        named_config("sora_xxl")
    assert "sora_xxl" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values | {"causal": True},
        lambda values: {key: value for key, value in values.items() if key != "widths"},
        lambda values: values | {"architecture": "transformer"},
        lambda values: values | {"widths": [16, 64]},
        lambda values: values | {"widths": "1664"},
        lambda values: values | {"widths": [0, 1, 1, 1]},
        lambda values: values | {"depths": [1, 1, 1, -1]},
        lambda values: values | {"embedding_dim": 0},
        lambda values: values | {"latent_channels": 1.5},
        lambda values: [values],
    ],
)
def test_json_that_is_not_a_config_is_refused(damage):
    with pytest.raises(ConfigError):
        from_json(json.dumps(damage(json.loads(to_json(sora_xs())))))


def test_text_that_is_not_json_is_refused():
    with pytest.raises(ConfigError, match="not JSON"):
        from_json("{")


def test_the_articles_code_is_as_wide_as_its_last_stage():
    with pytest.raises(ConfigError, match="latent_channels"):
        replace(article(), latent_channels=64)
