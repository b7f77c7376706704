"""One story of deploy/examples, run in a namespace of its own."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import CommandError
from testbed.kubectl import Kubectl
from testbed.names import NODES
from testbed.reading import Json
from testbed.waiting import until

EXAMPLES = Path(__file__).resolve().parents[3] / "deploy" / "examples"


@dataclass(frozen=True)
class Story:
    """What a test does and sees in the namespace of its story."""

    name: str
    kubectl: Kubectl
    nodes: tuple[str, ...] = NODES
    """What the nodes are called that the examples call NODES."""

    def apply(self, file: str) -> None:
        path = EXAMPLES / self.name / file
        text = path.read_text()
        renamed = with_nodes(text, self.nodes)
        if renamed == text:
            self.kubectl.apply(path)
        else:
            self.kubectl.apply_text(renamed)

    def pod(self, name: str) -> Json:
        return self.kubectl.get("pods", name)

    def phase(self, name: str) -> str:
        return str(self.pod(name).get("status", {}).get("phase", ""))

    def running(self, name: str, *, timeout: float = 60) -> Json:
        """The pod, once all its containers run."""

        def ready() -> Json | None:
            pod = self.pod(name)
            conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
            return (
                pod if pod.get("status", {}).get("phase") == "Running" and conditions.get("Ready") == "True" else None
            )

        found = until(ready, f"pod {name} runs", timeout=timeout)
        assert found is not None
        return found

    def log(self, pod: str, *args: str) -> str:
        return self.kubectl("logs", pod, *args)

    def log_with(self, pod: str, text: str, *, timeout: float = 60) -> str:
        """The pod's log, once it has `text`."""

        def look() -> str:
            try:
                log = self.log(pod)
            except CommandError:
                return ""
            return log if text in log else ""

        return until(look, f"the log of pod {pod} has {text!r}", timeout=timeout)

    def claim(self, pod: str, alias: str = "gpu") -> Json:
        """The ResourceClaim behind a pod's claim of that alias, {} while there is none."""
        found = self.pod(pod)
        for entry in found.get("spec", {}).get("resourceClaims", []):
            if entry["name"] == alias and "resourceClaimName" in entry:
                return self.kubectl.get("resourceclaims", entry["resourceClaimName"])
        for status in found.get("status", {}).get("resourceClaimStatuses", []):
            if status["name"] == alias and status.get("resourceClaimName"):
                return self.kubectl.get("resourceclaims", status["resourceClaimName"])
        return {}

    def containers(self, pod: str) -> list[tuple[str, int]]:
        """The identities of a pod's containers, and how often each was restarted."""
        return [(c["containerID"], c["restartCount"]) for c in self.pod(pod)["status"]["containerStatuses"]]

    def results(self, pod: str, alias: str = "gpu") -> list[Json]:
        """The allocation results of a pod's claim, [] while it is not allocated."""
        allocation = self.claim(pod, alias).get("status", {}).get("allocation", {})
        found: list[Json] = allocation.get("devices", {}).get("results", [])
        return found

    def events(self, kind: str, name: str) -> list[Json]:
        return self.kubectl.items("events", fields=f"involvedObject.kind={kind},involvedObject.name={name}")

    def event_with(self, kind: str, name: str, text: str, *, timeout: float = 60) -> Json:
        """The first Event on an object whose message has `text`."""

        def look() -> list[Json]:
            return [event for event in self.events(kind, name) if text in event.get("message", "")]

        try:
            return until(look, f"an Event on {kind} {name} says {text!r}", timeout=timeout)[0]
        except Exception:
            for event in self.events(kind, name):
                print(f"{event.get('reason')}: {event.get('message')}", file=sys.stderr)
            raise

    def gone(self, resource: str, name: str, *, timeout: float = 60) -> None:
        until(lambda: not self.kubectl.get(resource, name), f"{resource} {name} is gone", timeout=timeout)


def with_nodes(manifest: str, nodes: Sequence[str]) -> str:
    """A manifest of the examples with the nodes named as this cluster names them."""
    names = dict(zip(NODES, nodes, strict=False))
    return re.sub(rf"\b({'|'.join(NODES)})\b", lambda found: names[found[0]], manifest)


@contextmanager
def story(kubectl: Kubectl, name: str, namespace: str, nodes: Sequence[str] = NODES) -> Iterator[Story]:
    """A namespace for one story: prints what is in it when the story fails, and removes it."""
    told = Story(name, kubectl.within(namespace), tuple(nodes))
    try:
        kubectl("create", "namespace", namespace)
        yield told
    except BaseException:
        print(diagnosis(told.kubectl), file=sys.stderr)
        raise
    finally:
        kubectl(
            "delete", "pods,resourceclaims", "--all", f"--namespace={namespace}", "--grace-period=1", "--timeout=60s"
        )
        # Its GPUs are free now; the rest of it goes while the next story begins.
        kubectl("delete", "namespace", namespace, "--wait=false")


def diagnosis(kubectl: Kubectl) -> str:
    """What an operator would look at first, as text."""
    parts = []
    for words in (
        ("get", "pods,resourceclaims", "--output=wide"),
        ("describe", "pods"),
        ("describe", "resourceclaims"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("get", "resourceslices", "--output=wide"),
        ("get", "pods", "--all-namespaces", "--output=wide"),
    ):
        try:
            parts.append(f"$ kubectl {' '.join(words)}\n{kubectl(*words)}")
        except CommandError as error:
            parts.append(f"$ kubectl {' '.join(words)}\n{error}")
    return "\n".join(parts)
