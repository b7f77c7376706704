"""The cgroup hierarchies of a host."""

from pathlib import Path

import pytest

from cluster.cgroups import parse_hierarchies

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,xattr,cpuset,clone_children
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
99 98 0:29 / /elsewhere/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
"""
UNIFIED = (
    "30 23 0:27 / /sys/fs/cgroup rw,nosuid,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)


@pytest.mark.parametrize(
    ("mountinfo", "lines"),
    [
        pytest.param(
            HYBRID,
            [
                "cpu,cpuacct cgroup cpu,cpuacct",
                "cpuset cgroup cpuset",
                "systemd cgroup none,name=systemd",
                "unified cgroup2 rw",
            ],
            id="v1 with unified",
        ),
        pytest.param(UNIFIED, [". cgroup2 rw"], id="v2 alone"),
    ],
)
def test_a_node_mounts_what_the_host_has(mountinfo: str, lines: list[str]) -> None:
    """Each hierarchy once, with the options that name it and no others."""
    assert [hierarchy.mount_line for hierarchy in parse_hierarchies(mountinfo)] == lines


def test_first_mount_of_a_hierarchy_counts() -> None:
    """A container's bind mount of it does not."""
    assert parse_hierarchies(HYBRID)[0].mount_point == Path("/sys/fs/cgroup/cpu,cpuacct")
