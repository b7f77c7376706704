"""What the tests of the safety suite share is imported by name."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# importmode=importlib adds no directory by itself.
sys.path.insert(0, str(Path(__file__).parent))

from clusters import Clusters

from testbed.turns import worker


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    """Hollow clusters, of another name in each process of several; none is left at the end of a module."""
    made = Clusters("-".join([os.environ.get("HAMI_DRA_FAULTS_CLUSTER", "faults"), *worker()]))
    made.down()
    yield made
    if os.environ.get("HAMI_DRA_KEEP") != "1":
        made.down()
