"""Somebody has the token of node-a's kubelet plugin: what the API server answers to all they try with it elsewhere.

Everything is tried as a dry run: the API server decides the same, and a hole would break no later test.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hami_dra.kube.errors import Forbidden, Invalid, KubeError
from hami_dra.kube.paths import CLAIMS, DEVICE_TAINT_RULES, EVENTS, NODES, PODS, SLICES, named, namespaced
from hami_dra.kube.transport import Client, connect
from testbed import stolen
from testbed.bed import Testbed
from testbed.chart import render_template
from testbed.names import DRIVER, NAMESPACE, RELEASE
from testbed.reading import Json
from testbed.story import story
from testbed.waiting import until

pytestmark = pytest.mark.parametrize("allocator", ["controller"], indirect=True)

DRY = "?dryRun=All"
COMPONENT = "hami-dra-kubelet-plugin"


@dataclass(frozen=True)
class Scene:
    """Who tries what: `mine` and `theirs` are the thief's node and another, with a pod and its claim on each."""

    admin: Client
    thief: Client
    nobody: Client
    namespace: str
    mine: str
    theirs: str

    def slice(self, node: str, **spec: object) -> Json:
        """A slice of that node as it is stored, with another spec where given."""
        found = copy.deepcopy(next(s for s in self.admin.list(SLICES).items if s["spec"].get("nodeName") == node))
        found["spec"] |= spec
        return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", **found}

    def new_slice(self, name: str, **spec: object) -> Json:
        """A slice of no device for the thief's node."""
        pool = {"name": self.mine, "generation": 1, "resourceSliceCount": 2}
        whole = {"driver": DRIVER, "nodeName": self.mine, "pool": pool, **spec}
        kept = {key: value for key, value in whole.items() if value is not None}
        metadata = {"name": name}
        return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": kept}

    def claim(self, node: str) -> Json:
        return self.admin.get(namespaced(CLAIMS, self.namespace, node))

    def event(self, about: Json, host: str, component: str = COMPONENT) -> Json:
        """An Event that says of `about` what `component` on `host` saw."""
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"said-of-{about['name']}-by-{host}", "namespace": about.get("namespace", "default")},
            "involvedObject": about,
            "reason": "Told",
            "message": "what somebody wants to be read",
            "type": "Warning",
            "source": {"component": component, "host": host},
            "reportingComponent": component,
            "reportingInstance": host,
        }

    def pod(self, node: str) -> Json:
        """A reference to the pod with a share on that node."""
        return {"apiVersion": "v1", "kind": "Pod", "name": node, "namespace": self.namespace}


def creates_slice(scene: Scene, body: Json) -> None:
    scene.thief.create(f"{SLICES}{DRY}", body)


def updates_slice(scene: Scene, body: Json) -> None:
    scene.thief.update(f"{named(SLICES, body['metadata']['name'])}{DRY}", body)


def taints_all(devices: list[Json]) -> list[Json]:
    taint = {"key": "gpu.hami.io/unhealthy", "value": "stolen", "effect": "NoExecute"}
    return [{**device, "taints": [*device.get("taints", []), taint]} for device in devices]


def taints_their_devices(scene: Scene) -> None:
    body = scene.slice(scene.theirs)
    body["spec"]["devices"] = taints_all(body["spec"]["devices"])
    updates_slice(scene, body)


def gives_out_claim(scene: Scene) -> None:
    claim = scene.claim(scene.theirs)
    claim["status"] = {}
    scene.thief.update(f"{namespaced(CLAIMS, scene.namespace, scene.theirs)}/status{DRY}", claim)


def writes_device_status(scene: Scene, node: str, driver: str = DRIVER) -> None:
    claim = scene.claim(node)
    for device in claim["status"]["devices"]:
        device["driver"] = driver
        device["conditions"][0]["message"] = "stolen"
    scene.thief.update(f"{namespaced(CLAIMS, scene.namespace, node)}/status{DRY}", claim)


def patches_device_status(scene: Scene, node: str) -> None:
    devices = scene.claim(node)["status"]["devices"]
    devices[0]["conditions"][0]["message"] = "stolen"
    patches_status(scene, node, {"devices": devices})


def patches_status(scene: Scene, node: str, status: Json) -> None:
    scene.thief.patch(f"{namespaced(CLAIMS, scene.namespace, node)}/status{DRY}", {"status": status})


def evicts(scene: Scene, node: str) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": node, "namespace": scene.namespace},
        "deleteOptions": {"dryRun": ["All"]},
    }
    scene.thief.create(f"{namespaced(PODS, scene.namespace, node)}/eviction{DRY}", body)


def makes_taint_rule(scene: Scene) -> None:
    taint = {"key": "stolen", "effect": "NoExecute"}
    spec = {"deviceSelector": {"driver": DRIVER, "pool": scene.theirs}, "taint": taint}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceTaintRule", "metadata": {"name": "stolen"}, "spec": spec}
    scene.thief.create(f"{DEVICE_TAINT_RULES}{DRY}", body)


def tells_event(scene: Scene, about: Json, host: str, component: str = COMPONENT) -> None:
    event = scene.event(about, host, component)
    scene.thief.create(f"{namespaced(EVENTS, event['metadata']['namespace'])}{DRY}", event)


def changes_their_event(scene: Scene) -> None:
    stored = scene.admin.create(namespaced(EVENTS, scene.namespace), scene.event(scene.pod(scene.theirs), scene.theirs))
    said = {"message": "all is well", "source": {"component": COMPONENT, "host": scene.mine}}
    path = namespaced(EVENTS, scene.namespace, stored["metadata"]["name"])
    scene.thief.patch(f"{path}{DRY}", {**said, "reportingInstance": scene.mine})


def node_reference(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "name": name}


NOT_THEIRS = "may write only ResourceSlices of its own node"
NO_PERMISSION = "cannot "
ATTACKS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "publish for another node": (
        lambda s: creates_slice(s, s.new_slice(f"{s.theirs}-{DRIVER}-00009", nodeName=s.theirs)),
        NOT_THEIRS,
    ),
    "publish for all nodes": (
        lambda s: creates_slice(s, s.new_slice(f"{s.mine}-{DRIVER}-00009", nodeName=None, allNodes=True)),
        NOT_THEIRS,
    ),
    "publish for nodes by selector": (
        lambda s: creates_slice(
            s, s.new_slice(f"{s.mine}-{DRIVER}-00009", nodeName=None, nodeSelector=selector_of(s.theirs))
        ),
        NOT_THEIRS,
    ),
    "publish with a node for each device": (
        lambda s: creates_slice(s, s.new_slice(f"{s.mine}-{DRIVER}-00009", nodeName=None, perDeviceNodeSelection=True)),
        NOT_THEIRS,
    ),
    "publish for another driver": (
        lambda s: creates_slice(s, s.new_slice(f"{s.mine}-{DRIVER}-00009", driver="gpu.nvidia.com")),
        "only ResourceSlices of the driver",
    ),
    "publish into another node's pool": (
        lambda s: creates_slice(
            s,
            s.new_slice(f"{s.mine}-{DRIVER}-00009", pool={"name": s.theirs, "generation": 99, "resourceSliceCount": 2}),
        ),
        "may write only the pool of that name",
    ),
    "take the name of another node's slice": (
        lambda s: creates_slice(s, s.new_slice(f"{s.theirs}-{DRIVER}-00009")),
        "may not name a ResourceSlice",
    ),
    "change another node's slice": (
        lambda s: updates_slice(s, s.slice(s.theirs, devices=[])),
        NOT_THEIRS,
    ),
    "taint another node's devices": (taints_their_devices, NOT_THEIRS),
    "delete another node's slice": (
        lambda s: s.thief.delete(f"{named(SLICES, s.slice(s.theirs)['metadata']['name'])}{DRY}"),
        NOT_THEIRS,
    ),
    "delete all slices": (lambda s: s.thief.delete(f"{SLICES}{DRY}"), NO_PERMISSION),
    "patch a slice": (
        lambda s: s.thief.patch(f"{named(SLICES, s.slice(s.theirs)['metadata']['name'])}{DRY}", {"spec": {}}),
        NO_PERMISSION,
    ),
    "publish with a token of no pod": (
        lambda s: s.nobody.create(f"{SLICES}{DRY}", s.new_slice(f"{s.mine}-{DRIVER}-00009")),
        NOT_THEIRS,
    ),
    "taint devices by a rule": (makes_taint_rule, NO_PERMISSION),
    "take an allocation back": (gives_out_claim, "changing status.allocation or status.reservedFor requires"),
    "take an allocation back by a patch": (
        lambda s: patches_status(s, s.mine, {"allocation": None, "reservedFor": None}),
        "changing status.allocation or status.reservedFor requires",
    ),
    "say by a patch how another node's devices are": (
        lambda s: patches_device_status(s, s.theirs),
        "changing status.devices requires",
    ),
    "say how another node's devices are": (
        lambda s: writes_device_status(s, s.theirs),
        "changing status.devices requires",
    ),
    "say how another driver's devices are": (
        lambda s: writes_device_status(s, s.mine, "gpu.nvidia.com"),
        "changing status.devices requires",
    ),
    "change a claim": (
        lambda s: s.thief.update(f"{namespaced(CLAIMS, s.namespace, s.mine)}{DRY}", s.claim(s.mine)),
        NO_PERMISSION,
    ),
    "evict a pod": (lambda s: evicts(s, s.theirs), NO_PERMISSION),
    "delete a pod": (lambda s: s.thief.delete(f"{namespaced(PODS, s.namespace, s.theirs)}{DRY}"), NO_PERMISSION),
    "taint another node": (
        lambda s: s.thief.patch(f"{named(NODES, s.theirs)}{DRY}", {"spec": {"unschedulable": True}}),
        NO_PERMISSION,
    ),
    "taint its own node": (
        lambda s: s.thief.patch(f"{named(NODES, s.mine)}{DRY}", {"spec": {"unschedulable": True}}),
        NO_PERMISSION,
    ),
    "tell of another node": (
        lambda s: tells_event(s, node_reference(s.theirs), s.mine),
        "may not write Events about other nodes",
    ),
    "speak for another node": (lambda s: tells_event(s, s.pod(s.mine), s.theirs), "may write only Events whose source"),
    "speak for kubelet": (
        lambda s: tells_event(s, s.pod(s.mine), s.mine, "kubelet"),
        "may write only Events whose source",
    ),
    "change another node's Event": (changes_their_event, "may write only Events whose source"),
    "read secrets": (lambda s: s.thief.list(f"/api/v1/namespaces/{NAMESPACE}/secrets"), NO_PERMISSION),
    "read other pods": (lambda s: s.thief.list(namespaced(PODS, s.namespace)), NO_PERMISSION),
    "get the controller's token": (
        lambda s: s.thief.create(
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{RELEASE}-controller/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        ),
        NO_PERMISSION,
    ),
    "cordon GPUs": (
        lambda s: s.thief.patch(
            f"/api/v1/namespaces/{NAMESPACE}/configmaps/{RELEASE}-kubelet-plugin-cordon{DRY}", {"data": {"gpus": ""}}
        ),
        NO_PERMISSION,
    ),
}
OWN_BUSINESS: dict[str, Callable[[Scene], object]] = {
    "publish": lambda s: creates_slice(s, s.new_slice(f"{s.mine}-{DRIVER}-00009")),
    "taint its devices": lambda s: updates_slice(
        s, s.slice(s.mine, devices=taints_all(s.slice(s.mine)["spec"]["devices"]))
    ),
    "delete its slice": lambda s: s.thief.delete(f"{named(SLICES, s.slice(s.mine)['metadata']['name'])}{DRY}"),
    "say how its devices are": lambda s: writes_device_status(s, s.mine),
    "say by a patch how its devices are": lambda s: patches_device_status(s, s.mine),
    "tell of its node": lambda s: tells_event(s, node_reference(s.mine), s.mine),
    "tell of a pod": lambda s: tells_event(s, s.pod(s.mine), s.mine),
}


@pytest.fixture(scope="module")
def scene(bed_without_driver: Testbed, allocator: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A pod with a share on each of two nodes, and the token of the first one's plugin."""
    bed, (mine, theirs) = bed_without_driver, bed_without_driver.nodes[:2]
    kubeconfig = bed.cluster.kubeconfig
    admin = connect(str(kubeconfig))
    clients = [
        stolen.client_with(stolen.token(admin, pod), kubeconfig, tmp_path_factory.mktemp("stolen"))
        for pod in (bed.plugin_pod(mine), None)
    ]
    with story(bed.kubectl, "stolen-token", "stolen-token", bed.nodes) as told:
        told.kubectl.apply_text("\n---\n".join(json.dumps(o) for node in (mine, theirs) for o in pod_with_share(node)))
        for node in (mine, theirs):
            told.running(node)
            until(lambda node=node: told.claim(node)["status"].get("devices"), f"the claim on {node} has its status")
        yield Scene(admin, clients[0], clients[1], told.kubectl.namespace, mine, theirs)


@pytest.fixture
def evictions(bed: Testbed, scene: Scene) -> Iterator[None]:
    """What the chart adds where kubeletPlugin.onBypass is evict, without a restart of the plugins."""
    kubectl = bed.kubectl
    policy = render_template(kubectl, "policy-own-evictions.yaml", {"kubeletPlugin.onBypass": "evict"})
    subject = f"--serviceaccount={NAMESPACE}:{stolen.SERVICE_ACCOUNT}"
    kubectl.apply_text(policy)
    kubectl("create", "clusterrole", "stolen-evictions", "--verb=create", "--resource=pods/eviction")
    kubectl("create", "clusterrolebinding", "stolen-evictions", "--clusterrole=stolen-evictions", subject)
    try:
        until(lambda: not refusal(lambda: evicts(scene, scene.mine)), "its own pods can be evicted")
        yield
    finally:
        kubectl("delete", "clusterrolebinding,clusterrole", "stolen-evictions")
        kubectl("delete", "--filename", "-", stdin=policy)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stolen_token_is_refused(scene: Scene, attack: str) -> None:
    """By RBAC, by the API server's own rules for claims, or by an admission policy of the chart."""
    act, answer = ATTACKS[attack]
    with pytest.raises((Forbidden, Invalid), match=answer):
        act(scene)


@pytest.mark.parametrize("deed", OWN_BUSINESS)
def test_a_plugin_may_do_its_own_nodes_business(scene: Scene, deed: str) -> None:
    """With the same token: what was refused was refused for being elsewhere."""
    OWN_BUSINESS[deed](scene)


@pytest.mark.usefixtures("evictions")
def test_where_plugins_evict_they_evict_from_their_own_nodes_only(scene: Scene) -> None:
    """The policy comes with the permission; the API server needs a moment before it asks a new one."""
    refused = "may evict only pods of that node"
    until(lambda: refused in refusal(lambda: evicts(scene, scene.theirs)), "others' pods cannot be evicted")
    assert not refusal(lambda: evicts(scene, scene.mine))


def refusal(act: Callable[[], object]) -> str:
    """What the API server says against it; empty where it does it."""
    try:
        act()
    except KubeError as error:
        return str(error)
    return ""


def selector_of(node: str) -> Json:
    match = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchFields": [match]}]}


def pod_with_share(node: str) -> list[Json]:
    """A claim and a pod, both called as the node on which they are to be."""
    exactly = {"deviceClassName": DRIVER, "capacity": {"requests": {"memory": "1000Mi"}}}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/hostname": node},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": node}],
        "containers": [
            {
                "name": "cuda",
                "image": "localhost/hami-dra/workload:dev",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "infinity"],
                "resources": {"claims": [{"name": "gpu"}]},
            }
        ],
    }
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": node},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": pod},
    ]
