"""One cluster for the whole suite, or for each process of it; the driver is installed once per allocator."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from testbed import clusters, host_state
from testbed.bed import Testbed, testbed
from testbed.story import Story, story
from testbed.turns import worker


@pytest.fixture(scope="session")
def bed_without_driver() -> Iterator[Testbed]:
    """The cluster with its fake GPUs; HAMI_DRA_KEEP=1 leaves it up for a look.

    Else the machine is as it was when the cluster is gone, or the last test has an error that says what is not.
    """
    choice = clusters.chosen()
    print(choice, file=sys.stderr)
    name = "-".join([os.environ.get("HAMI_DRA_E2E_CLUSTER", "e2e"), *worker()])
    bed = testbed(name, choice)
    if os.environ.get("HAMI_DRA_KEEP") == "1":
        bed.up()
        yield bed
        return
    bed.cluster.down()
    before = host_state.look()
    try:
        bed.up()
        yield bed
    finally:
        bed.cluster.down(keep_logs=True)
    if choice.brings_all:
        assert host_state.left_behind(before, host_state.look(), name) == []


@pytest.fixture(scope="session", params=["scheduler", "controller"])
def allocator(request: pytest.FixtureRequest, bed_without_driver: Testbed) -> str:
    """Each test runs once with kube-scheduler as the allocator and once with our controller."""
    name: str = request.param
    bed_without_driver.install_driver(name)
    return name


@pytest.fixture(scope="module", autouse=True)
def sound_at_the_end(allocator: str, bed_without_driver: Testbed) -> Iterator[None]:
    """After the stories of a module, so also after the last one of each allocator, everything fits together."""
    yield
    bed_without_driver.doctor()


@pytest.fixture
def bed(bed_without_driver: Testbed, allocator: str) -> Testbed:
    return bed_without_driver


@pytest.fixture(scope="session")
def counter() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def stories(bed: Testbed, counter: Iterator[int]) -> Callable[[str], AbstractContextManager[Story]]:
    """Open a story by the name of its folder, in a namespace of its own; at its end everything must fit together."""

    @contextmanager
    def opened(name: str) -> Iterator[Story]:
        with story(bed.kubectl, name, f"{name}-{next(counter)}", bed.nodes) as told:
            try:
                yield told
                bed.doctor()
            except BaseException:
                print(bed.daemon_logs(), file=sys.stderr)
                raise

    return opened


@pytest.fixture
def node_files(bed: Testbed) -> Callable[[str], list[str]]:
    return bed.traces


@pytest.fixture
def node_usage_bytes(bed: Testbed) -> Callable[[str], list[int]]:
    return bed.usage_bytes
