"""The cluster file is one that `ray up` accepts, asks for the token everywhere and matches what we install."""

import copy
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def config() -> dict[str, Any]:
    return dict(yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text()))


def test_ray_up_accepts_the_file(config: dict[str, Any]) -> None:
    validate_config(prepare_config(config))


@pytest.mark.parametrize("place", [("docker",), ("available_node_types", "gpu"), ("auth",), ()])
def test_the_check_refuses_a_misspelt_key(config: dict[str, Any], place: tuple[str, ...]) -> None:
    broken = inner = copy.deepcopy(config)
    for name in place:
        inner = inner[name]
    inner["misspelt"] = 1
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        validate_config(prepare_config(broken))


@pytest.mark.parametrize("kind", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_ray_start_asks_for_the_token_and_disables_the_uv_hook(config: dict[str, Any], kind: str) -> None:
    starts = [command for command in config[kind] if "ray start" in command]
    assert starts
    for command in starts:
        settings = command.split("ray start")[0].split()
        assert {"RAY_AUTH_MODE=token", "RAY_ENABLE_UV_RUN_RUNTIME_ENV=0"} <= set(settings)


def test_the_token_is_copied_to_where_ray_looks_and_is_not_in_the_file(config: dict[str, Any]) -> None:
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert not re.search(r"RAY_AUTH_TOKEN\s*=|[0-9a-f]{32}", (REPOSITORY / "ray-cluster.yaml").read_text())


def test_the_job_server_listens_on_loopback_only(config: dict[str, Any]) -> None:
    head = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in head


def test_decoding_and_training_land_on_machines_of_their_own(config: dict[str, Any]) -> None:
    offers = {name: node["resources"] for name, node in config["available_node_types"].items()}
    assert set(offers) == {"head", "decode", "gpu"}
    assert config["head_node_type"] == "head"
    assert offers["head"] == {"CPU": 0}, "no task on the head"
    assert "GPU" not in offers["decode"]
    assert offers["gpu"]["CPU"] <= 2 * offers["gpu"]["GPU"], "a GPU machine offers no CPU to decoders"


def test_the_images_have_the_installed_ray_and_python(config: dict[str, Any]) -> None:
    images = [config["docker"]["image"], config["available_node_types"]["gpu"]["docker"]["worker_image"]]
    for image in images:
        assert image.startswith(f"rayproject/ray:{ray.__version__}-py311"), (
            "move ray-cluster.yaml with requirements.lock"
        )


def test_the_lock_is_copied_to_the_nodes_and_installed(config: dict[str, Any]) -> None:
    target = "/home/ray/requirements.lock"
    source = REPOSITORY / config["file_mounts"][target]
    assert source.is_file(), f"{source}: ray-cluster.yaml copies a file that the repository lacks"
    assert any(f"pip install --no-cache-dir -r {target}" in command for command in config["setup_commands"])


def test_the_runtime_environment_holds_plain_variables_and_no_keys() -> None:
    text = (REPOSITORY / "cluster/runtime-env.yaml").read_text()
    environment = yaml.safe_load(text)
    ray.runtime_env.RuntimeEnv(**environment)  # refuses what Ray would refuse
    assert not any("KEY" in name or "TOKEN" in name or "SECRET" in name for name in environment["env_vars"])
    uncommented = yaml.safe_load(re.sub(r"^  # (?=[A-Z_]+: )", "  ", text, flags=re.MULTILINE))
    assert {"AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "MLFLOW_TRACKING_URI"} <= set(uncommented["env_vars"])
    assert all(isinstance(value, str) for value in uncommented["env_vars"].values()), "Ray takes strings only"


def test_the_guide_leads_through_files_that_exist() -> None:
    guide = REPOSITORY / "cluster/README.md"
    links = re.findall(r"\]\(([^)#]+)\)", guide.read_text())
    assert links
    assert [link for link in links if not os.path.exists(guide.parent / link)] == []
