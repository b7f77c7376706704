"""The clusters that the tests of the safety suite use, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from patience import patiently

from hami_dra.kube.paths import CLAIMS, LEASES, NODES, PODS, SLICES, named, namespaced
from hollow.bed import HollowCluster
from hollow.chart import CONTROLLER
from hollow.workload import TEMPLATES
from testbed.names import NAMESPACE
from testbed.waiting import until

AS_INSTALLED: Mapping[str, str] = {}
GATE_AND_PIN: Mapping[str, str] = {"controller.gateAndPin": "true"}
SPACE = "default"
"""The namespace of all pods."""
REPLICAS = (0, 1)
_MOST_TO_EMPTY = 400
"""With more claims than that, a new cluster is there sooner than an empty one."""


class Clusters:
    """At most one hollow cluster at a time. The next test gets it empty, unless something went wrong in it."""

    def __init__(self, name: str) -> None:
        self._bed = HollowCluster(name)
        self._values: Mapping[str, str] | None = None

    @contextmanager
    def lend(self, values: Mapping[str, str]) -> Iterator[HollowCluster]:
        """One without nodes, pods and controllers. After a failure its logs stay, with HAMI_DRA_KEEP=1 all of it."""
        if self._values != values:
            self.down()
            self._bed.up(values=values)
        self._values = None
        try:
            yield self._bed
        except BaseException:
            if os.environ.get("HAMI_DRA_KEEP") != "1":
                self._bed.down(keep_logs=True)
            raise
        if len(self._bed.client.list(CLAIMS).items) <= _MOST_TO_EMPTY:
            _empty(self._bed)
            self._values = values

    def down(self) -> None:
        """Remove what is there."""
        self._values = None
        self._bed.down()


def _empty(bed: HollowCluster) -> None:
    for number in REPLICAS:
        bed.controllers.kill(number)
    bed.kill_kubelet()
    bed.client.delete(f"{namespaced(PODS, SPACE)}?gracePeriodSeconds=0")
    bed.client.delete(namespaced(CLAIMS, SPACE))
    until(lambda: not bed.client.list(CLAIMS).items, "kube-controller-manager lets all claims go")
    for path in (namespaced(TEMPLATES, SPACE), SLICES, NODES):
        bed.client.delete(path)
    # Else the next leader waits until it has run out.
    patiently(lambda: bed.client.delete(named(namespaced(LEASES, NAMESPACE), CONTROLLER)))
