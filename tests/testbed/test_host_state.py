"""What of a machine's state counts as left behind by a cluster."""

from dataclasses import replace

import pytest

from testbed.host_state import HostState, left_behind, look

CLEAN = HostState(
    {"vm.overcommit_memory": "0"},
    frozenset({"/", "/var/lib/hami-dra-clusters/other/net/cluster"}),
    frozenset({"/sys/fs/cgroup/cpu/hami-dra-other"}),
    frozenset({"lo"}),
)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        pytest.param(replace(CLEAN, settings={"vm.overcommit_memory": "1"}), "vm.overcommit_memory", id="setting"),
        pytest.param(replace(CLEAN, mounts=CLEAN.mounts | {"/run/docker/netns/x"}), "/run/docker/netns/x", id="mount"),
        pytest.param(replace(CLEAN, cgroups=CLEAN.cgroups | {"/sys/fs/cgroup/cpu/docker"}), "docker", id="cgroup"),
        pytest.param(
            replace(CLEAN, cgroups=CLEAN.cgroups | {"/sys/fs/cgroup/cpu/hami-dra-mine.kind"}), "mine", id="our engine"
        ),
        pytest.param(replace(CLEAN, interfaces=frozenset({"lo", "docker0"})), "docker0", id="interface"),
        pytest.param(replace(CLEAN, interfaces=frozenset()), "lo is gone", id="gone"),
    ],
)
def test_a_change_is_named(after: HostState, said: str) -> None:
    """One line each."""
    (line,) = left_behind(CLEAN, after, "mine")
    assert said in line


def test_other_clusters_come_and_go() -> None:
    """Ours is to leave the machine as it was, and not to wait until it is alone on it."""
    after = replace(
        CLEAN,
        mounts=frozenset({"/", "/var/lib/hami-dra-clusters/third/net/cluster"}),
        cgroups=frozenset({"/sys/fs/cgroup/cpu/hami-dra-third.kind"}),
    )
    assert left_behind(CLEAN, after, "mine") == []


def test_two_looks_at_an_idle_machine_are_alike() -> None:
    """No setting that changes by itself is looked at."""
    assert left_behind(look(), look(), "mine") == []
