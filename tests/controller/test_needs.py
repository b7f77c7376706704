"""What a pod requests of its node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hami_dra.controller.loads import NO_LOAD
from hami_dra.controller.needs import ANY_ADDRESS, HostPort, Needs, as_container, read_needs

MIB = 1 << 20


def container(name: str = "main", **requests: str) -> dict[str, Any]:
    """A container that requests something."""
    return {"name": name, "resources": {"requests": requests}}


def sidecar(name: str = "side", **requests: str) -> dict[str, Any]:
    """An init container that keeps running."""
    return {**container(name, **requests), "restartPolicy": "Always"}


def kubelet(name: str = "main", *, allocated: str, **requests: str) -> dict[str, Any]:
    """What the kubelet says that a container has."""
    return {"name": name, "resources": {"requests": requests}, "allocatedResources": {"cpu": allocated}}


INFEASIBLE = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        pytest.param({"containers": [container()]}, {}, {}, id="nothing"),
        pytest.param(
            {"containers": [container(cpu="100m", memory="1Gi"), container(cpu="0.4", memory="1")]},
            {},
            {"cpu": 500, "memory": 1024 * MIB + 1},
            id="containers together",
        ),
        pytest.param({"containers": [container(cpu="0.0005")]}, {}, {"cpu": 1}, id="rounded up"),
        pytest.param({"containers": [container(cpu="0")]}, {}, {}, id="zero is nothing"),
        pytest.param(
            {"containers": [{"resources": {"limits": {"cpu": "2", "x.io/y": 3}, "requests": {"cpu": "1"}}}]},
            {},
            {"cpu": 1000, "x.io/y": 3},
            id="limits where requests are missing",
        ),
        pytest.param(
            {"containers": [container(cpu="1")], "initContainers": [container(cpu="3"), container(cpu="2")]},
            {},
            {"cpu": 3000},
            id="the largest init container",
        ),
        pytest.param(
            {"containers": [container(cpu="1")], "initContainers": [container(cpu="1", memory="1Ki")]},
            {},
            {"cpu": 1000, "memory": 1024},
            id="init container by resource",
        ),
        pytest.param(
            {"containers": [container(cpu="1")], "initContainers": [sidecar(cpu="2"), container(cpu="2")]},
            {},
            {"cpu": 4000},
            id="a sidecar runs beside later init containers",
        ),
        pytest.param(
            {"containers": [container(cpu="1")], "initContainers": [container(cpu="2"), sidecar(cpu="2")]},
            {},
            {"cpu": 3000},
            id="a sidecar runs beside the containers",
        ),
        pytest.param(
            {"containers": [container(cpu="1")], "overhead": {"cpu": "250m", "memory": "1Mi"}},
            {},
            {"cpu": 1250, "memory": MIB},
            id="overhead",
        ),
        pytest.param(
            {
                "containers": [container(**{"cpu": "3", "x.io/y": "1"})],
                "resources": {"requests": {"cpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1"}},
                "overhead": {"cpu": "1"},
            },
            {},
            {"cpu": 3000, "hugepages-2Mi": 4 * MIB, "x.io/y": 1},
            id="pod-level requests replace what they may name",
        ),
        pytest.param(
            {"containers": [container()], "resources": {"requests": {"cpu": "2"}}},
            {"resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "1"}},
            {"cpu": 3000},
            id="pod-level resize",
        ),
        pytest.param(
            {"containers": [container(cpu="1")]},
            {"containerStatuses": [kubelet(cpu="2", allocated="3")]},
            {"cpu": 3000},
            id="resize under way",
        ),
        pytest.param(
            {"containers": [container(cpu="9")]},
            {"containerStatuses": [kubelet(cpu="2", allocated="2")], **INFEASIBLE},
            {"cpu": 2000},
            id="resize that cannot be",
        ),
        pytest.param(
            {"containers": [container()], "initContainers": [sidecar(cpu="1"), container("init", cpu="1")]},
            {"initContainerStatuses": [kubelet("side", cpu="2", allocated="2"), kubelet("init", allocated="9")]},
            {"cpu": 3000},
            id="resize of a sidecar",
        ),
    ],
)
def test_requests_are_those_of_kube_scheduler(
    spec: dict[str, Any], status: dict[str, Any], expected: dict[str, int]
) -> None:
    """Containers, init containers, sidecars, overhead, pod-level requests and resizes count as in kube-scheduler."""
    assert dict(read_needs(spec, status).requests) == expected


def test_host_ports_are_those_of_what_keeps_running() -> None:
    """Ports of containers and sidecars count, those of other init containers and plain container ports do not."""
    spec = {
        "containers": [{"ports": [{"hostPort": 80, "containerPort": 8080}, {"containerPort": 81}]}],
        "initContainers": [
            {"ports": [{"hostPort": 82}]},
            {"ports": [{"hostPort": 83, "protocol": "UDP", "hostIP": "10.0.0.1"}], "restartPolicy": "Always"},
        ],
    }
    assert read_needs(spec, {}).ports == (HostPort("TCP", 80, ANY_ADDRESS), HostPort("UDP", 83, "10.0.0.1"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(HostPort("TCP", 1, "10.0.0.1"), HostPort("TCP", 1, "10.0.0.1"), True, id="same"),
        pytest.param(HostPort("TCP", 1, "10.0.0.1"), HostPort("TCP", 1, "10.0.0.2"), False, id="other address"),
        pytest.param(HostPort("TCP", 1, ANY_ADDRESS), HostPort("TCP", 1, "10.0.0.2"), True, id="every address"),
        pytest.param(HostPort("TCP", 1, ANY_ADDRESS), HostPort("UDP", 1, ANY_ADDRESS), False, id="other protocol"),
        pytest.param(HostPort("TCP", 1, ANY_ADDRESS), HostPort("TCP", 2, ANY_ADDRESS), False, id="other port"),
    ],
)
def test_host_ports_conflict_or_not(one: HostPort, other: HostPort, expected: bool) -> None:
    """Protocol and port must be the same, and the address the same or any."""
    for wanted, taken in ((one, other), (other, one)):
        load = NO_LOAD.plus(Needs(ports=(taken,)))
        assert load.takes(wanted) is expected
        assert not load.minus(Needs(ports=(taken,))).takes(wanted)


def test_what_large_pods_need_is_not_remembered() -> None:
    """Small pods are many and alike; what large ones ask for would stay in memory for long after them."""
    small, large = ([{"ports": [{"hostPort": port} for port in range(1, last)]}] for last in (9, 999))
    for containers, remembered in ((small, True), (large, False)):
        one, other = (read_needs({"containers": containers}, {}) for _ in range(2))
        assert one == other
        assert (one is other) is remembered
        assert (as_container(one) is as_container(one)) is remembered


amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "x.io/y"]), st.integers(0, 9).map(str), max_size=3)


@given(
    st.lists(amounts, max_size=3),
    st.lists(st.tuples(st.booleans(), amounts), max_size=5),
)
def test_requests_are_the_most_that_any_moment_needs(
    containers: list[dict[str, str]], init_containers: list[tuple[bool, dict[str, str]]]
) -> None:
    """Replayed: init containers start in order, sidecars stay, then all containers run."""
    unit = {"cpu": 1000, "memory": 1, "x.io/y": 1}
    most = dict.fromkeys(unit, 0)
    staying: list[dict[str, str]] = []
    moments: list[list[dict[str, str]]] = []
    for stays, wanted in init_containers:
        moments.append([*staying, wanted])
        if stays:
            staying.append(wanted)
    moments.append([*staying, *containers])
    for moment in moments:
        for name, factor in unit.items():
            most[name] = max(most[name], sum(int(wanted.get(name, 0)) for wanted in moment) * factor)
    spec = {
        "containers": [container(**wanted) for wanted in containers],
        "initContainers": [(sidecar if stays else container)(**wanted) for stays, wanted in init_containers],
    }
    assert dict(read_needs(spec, {}).requests) == {name: count for name, count in most.items() if count}


@given(
    st.dictionaries(st.sampled_from(["cpu", "memory", "pods", "a.io/b"]), st.integers(1, 2**60), max_size=4),
    st.sets(st.tuples(st.sampled_from(["TCP", "UDP"]), st.integers(1, 65535), st.just("10.0.0.1")), max_size=3),
)
def test_one_container_can_stand_for_all(requests: dict[str, int], ports: set[tuple[str, int, str]]) -> None:
    """What a pod is shrunk to is read as the same needs."""
    needs = Needs(tuple(sorted(requests.items())), tuple(sorted(HostPort(*port) for port in ports)))
    assert read_needs({"containers": [as_container(needs)]}, {}) == needs
