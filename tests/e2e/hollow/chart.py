"""What of the driver's Helm chart a hollow cluster has: all but the workloads, whose programs run as processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from hami_dra.api import names
from hami_dra.api.resources import JsonObject
from hami_dra.kube.paths import CLAIMS, namespaced
from hami_dra.kube.transport import Client
from testbed.kubectl import Kubectl, run
from testbed.names import CHART, NAMESPACE, RELEASE
from testbed.waiting import until

CONTROLLER = f"{RELEASE}-controller"
"""The controller's ServiceAccount, ConfigMap and Lease."""

_WORKLOADS = frozenset({"Deployment", "DaemonSet"})
_FINALIZER = "resource.kubernetes.io/delete-protection"


@dataclass(frozen=True)
class Chart:
    """The rendered chart."""

    documents: Sequence[JsonObject]

    @property
    def controller_config(self) -> str:
        """The settings file of the controller."""
        found = (d for d in self.documents if d["kind"] == "ConfigMap" and d["metadata"]["name"] == CONTROLLER)
        text: str = next(found)["data"]["config.yaml"]
        return text

    def apply(self, kubectl: Kubectl) -> None:
        """Have everything but the workloads in the cluster."""
        kept = [document for document in self.documents if document["kind"] not in _WORKLOADS]
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        kubectl.within(NAMESPACE)(
            "apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all([namespace, *kept])
        )

    def remove(self, kubectl: Kubectl) -> None:
        """Remove everything but the namespace."""
        kept = [document for document in self.documents if document["kind"] not in _WORKLOADS]
        kubectl.within(NAMESPACE)("delete", "--ignore-not-found", "--filename", "-", stdin=yaml.safe_dump_all(kept))


def render(kubectl: Kubectl, values: Mapping[str, object]) -> Chart:
    """The chart with these values (`controller.replicas` and so on)."""
    # Nothing runs an image here, but the chart insists on one.
    options = [f"--set={key}={value}" for key, value in {"image.repository": "none", **values}.items()]
    helm = kubectl.programs / "helm"
    text = run([helm, "template", RELEASE, CHART, "--namespace", NAMESPACE, *options], env=kubectl.environment)
    return Chart([document for document in yaml.safe_load_all(text) if document])


def wait_for_policies(client: Client) -> None:
    """Until the API server adds the finalizer to a claim of our class; it takes up policies in its own time."""
    until(lambda: protects_claims(client), "claims get their finalizer from the admission policy")


def protects_claims(client: Client) -> bool:
    """Whether the API server adds the finalizer to a claim of our class. Raises KubeError."""
    request = {"name": "gpu", "exactly": {"deviceClassName": names.DEVICE_CLASS}}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "probe"},
        "spec": {"devices": {"requests": [request]}},
    }
    stored = client.create(f"{namespaced(CLAIMS, 'default')}?dryRun=All", claim)
    return _FINALIZER in (stored["metadata"].get("finalizers") or ())
