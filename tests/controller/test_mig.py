"""MIG instances as the controller sees them: devices without minor number, bus and links, chosen as GPUs are."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import class_json, classes, config, gpu, make_claim, make_slice, request
from planning import decide, placed, refused, snapshot, used

from hami_dra.controller.snapshot import Snapshot

MIG = "mig.gpu.hami.io"
OURS = 'device.driver == "gpu.hami.io" && device.attributes["gpu.hami.io"].type'
PROFILES = {5: ("1g.10gb", 9984), 6: ("1g.10gb", 9984), 7: ("3g.40gb", 40192)}


def name(number: int) -> str:
    """The device name of an instance."""
    return f"mig-0000000c-0000-5000-8000-{number:012d}"


def instance(number: int, profile: str, memory_mib: int) -> dict[str, Any]:
    """As the kubelet plugin publishes it."""
    own = {
        "uuid": {"string": name(number).upper()},
        "type": {"string": "mig"},
        "profile": {"string": profile},
        "parentUUID": {"string": "GPU-1"},
    }
    device = gpu(number, model=f"NVIDIA H100 80GB HBM3 MIG {profile}", memory_mib=memory_mib, attributes=own)
    del device["attributes"]["minor"]
    return {**device, "name": name(number)}


def mixed(**changes: Any) -> Snapshot:
    """A whole GPU beside instances of two profiles, and the classes of the chart."""
    instances = [instance(number, *PROFILES[number]) for number in PROFILES]
    ours = classes(class_json("gpu.hami.io", f'{OURS} == "gpu"'), class_json(MIG, f'{OURS} == "mig"'))
    return snapshot(slices=(make_slice("node-a", [gpu(0), *instances]),), classes=ours, **changes)


def chosen(asked: dict[str, Any], **parameters: Any) -> list[str]:
    """The devices of a claim with this request."""
    configs = [config(**parameters)] if parameters else []
    return [device for _, device in placed(decide(make_claim("c", asked, configs=configs), where=mixed()))]


def test_the_class_of_gpus_never_gives_an_instance() -> None:
    """Without memory a claim takes all of a device; all of a tenth of a GPU is not what it means."""
    assert chosen(request())[0].startswith("gpu-")
    assert "1 CardInsufficientMemory" in refused(decide(make_claim("c", request()), where=mixed(totals=used(0, mib=1))))


@pytest.mark.parametrize(
    ("parameters", "number"),
    [
        pytest.param({"models": {"include": ["mig 3g"]}}, 7, id="model"),
        pytest.param({"models": {"exclude": ["1G."]}}, 7, id="not this model"),
        pytest.param({"uuids": {"include": [name(6).upper()]}}, 6, id="uuid"),
        pytest.param({"uuids": {"exclude": [name(5), name(7)]}}, 6, id="not these uuids"),
        pytest.param({"placement": {"device": "topology"}, "models": {"include": ["3g"]}}, 7, id="topology"),
    ],
)
def test_instances_are_chosen_as_gpus_are(parameters: dict[str, Any], number: int) -> None:
    """By part of the model, which ends in the profile, and by UUID regardless of case."""
    assert chosen(request(device_class=MIG, memory="1Gi"), **parameters) == [name(number)]


def test_cel_on_the_profile_is_not_asked_of_whole_gpus() -> None:
    """They have none, and an error would fail the claim; the class is asked first."""
    selector = 'device.attributes["gpu.hami.io"].profile == "3g.40gb"'
    assert chosen(request(device_class=MIG, selector=selector)) == [name(7)]
