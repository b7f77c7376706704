"""Which GPUs are published."""

from __future__ import annotations

import pytest

from hami_dra.kubelet_plugin.settings import Settings

UUIDS = ("GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01", "GPU-3b9c7d52-8e4f-4a16-b2c7-5f0e9d4a6c12")
INSTANCES = ("MIG-4c8e3a06-1d5f-5b29-9c3e-8f6a4b2d1e57", "MIG-9a2b7c14-6e3d-5f80-a1b2-3c4d5e6f7a8b")
MODELS = ("NVIDIA H100 80GB HBM3", "Tesla T4")


@pytest.mark.parametrize(
    ("wanted", "published"),
    [
        pytest.param({}, [0, 1], id="all by default"),
        pytest.param({"include_uuids": UUIDS[1].lower()}, [1], id="a UUID"),
        pytest.param({"exclude_uuids": f"{UUIDS[0]}, {UUIDS[1]}"}, [], id="no UUID"),
        pytest.param({"include_indices": "0,7"}, [0], id="an index"),
        pytest.param({"exclude_indices": "0"}, [1], id="not an index"),
        pytest.param({"include_models": "h100,a100"}, [0], id="a part of a model"),
        pytest.param({"exclude_models": "tesla t4"}, [0], id="not a model"),
        pytest.param({"include_indices": "0,1", "exclude_models": "H100"}, [1], id="all of them must admit it"),
    ],
)
def test_the_settings_say_which_gpus_are_ours(wanted: dict[str, str], published: list[int]) -> None:
    """By UUID, nvidia-smi's index and model, included and excluded."""
    admits = Settings(**wanted).gpu_filter.admits  # type: ignore[arg-type]
    assert [index for index in (0, 1) if admits(index, (UUIDS[index],), MODELS[index])] == published


@pytest.mark.parametrize(
    ("wanted", "published"),
    [
        pytest.param({"include_uuids": UUIDS[0]}, [0, 1], id="those of a GPU"),
        pytest.param({"include_uuids": INSTANCES[1]}, [1], id="one by its own UUID"),
        pytest.param({"exclude_uuids": INSTANCES[1].lower()}, [0], id="not that one"),
        pytest.param({"exclude_uuids": UUIDS[0]}, [], id="not those of a GPU"),
        pytest.param({"exclude_models": "1g.10gb"}, [1], id="not a profile"),
    ],
)
def test_the_settings_say_which_instances_are_ours(wanted: dict[str, str], published: list[int]) -> None:
    """By their own UUID or that of the GPU they are on; the profile is in the model."""
    admits = Settings(**wanted).gpu_filter.admits  # type: ignore[arg-type]
    models = [f"{MODELS[0]} MIG {profile}" for profile in ("1g.10gb", "3g.40gb")]
    assert [one for one in (0, 1) if admits(0, (UUIDS[0], INSTANCES[one]), models[one])] == published
