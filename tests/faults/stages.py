"""How far a pod has come, and what can be done to it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from clusters import SPACE
from ordeal import LIMIT_SECONDS, Ordeal
from patience import create, patiently
from telling import claim_names, tell

from hami_dra.api.resources import JsonObject
from hami_dra.kube.errors import KubeError, NotFound
from hami_dra.kube.paths import CLAIMS, PODS, named, namespaced
from hollow.kubelet import remove_pod

_LOOK_SECONDS = 0.02


class Stage(IntEnum):
    """In the order in which a pod goes through them."""

    CREATED = 0
    CLAIMED = 1
    ALLOCATED = 2
    BOUND = 3
    RUNNING = 4


@dataclass(frozen=True)
class Victim:
    """A pod with one claim."""

    trial: Ordeal
    body: JsonObject

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    def strike(self, stage: Stage, blow: Callable[[Victim], None]) -> None:
        """Create the pod, do something to it as soon as it has come so far, and see to it that it is there again."""
        self.trial.put_pods([self.body])
        deadline = time.monotonic() + LIMIT_SECONDS
        # A stage may last a few milliseconds, so this looks more often than waiting elsewhere does.
        while self._stage() < stage:
            if time.monotonic() >= deadline:
                raise AssertionError(f"{stage!r} was not reached in time: {tell(self.trial.client, self.name)}")
            assert not self.trial.given_up.is_set(), "the test has failed elsewhere"
            time.sleep(_LOOK_SECONDS)
        blow(self)

    def delete_claim(self) -> None:
        """Delete the claim, however far it is."""
        name = self._claim_name(self._pod())
        if name:
            patiently(lambda: self.trial.client.delete(named(namespaced(CLAIMS, SPACE), name)))

    def replace(self) -> None:
        """Delete the pod by force, and create it at once under the same name."""
        patiently(lambda: remove_pod(self.trial.client, SPACE, self.name))
        patiently(lambda: create(self.trial.client, namespaced(PODS, SPACE), self.body))

    def _pod(self) -> JsonObject:
        try:
            return self.trial.client.get(named(namespaced(PODS, SPACE), self.name))
        except KubeError:
            return {}

    def _stage(self) -> Stage:
        pod = self._pod()
        if (pod.get("status") or {}).get("phase") == "Running":
            return Stage.RUNNING
        if (pod.get("spec") or {}).get("nodeName"):
            return Stage.BOUND
        name = self._claim_name(pod)
        if not name:
            return Stage.CREATED
        try:
            claim = self.trial.client.get(named(namespaced(CLAIMS, SPACE), name))
        except NotFound:
            return Stage.CREATED
        except KubeError:
            return Stage.CREATED
        return Stage.ALLOCATED if (claim.get("status") or {}).get("allocation") else Stage.CLAIMED

    def _claim_name(self, pod: JsonObject) -> str:
        return next(claim_names(pod), "") if pod else ""
