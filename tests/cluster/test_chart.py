"""What the chart says with values that change more than one setting of a daemon, and with those that it must refuse."""

import json
import re
from pathlib import Path

import pytest
import yaml
from controller_objects import Json, gpu, make_slice
from planning import MATCHES

from cluster.build import built
from cluster.programs import HELM
from cluster.settings import read_settings
from hami_dra.controller.inventory import build_inventory
from hami_dra.controller.settings import load
from hami_dra.kubelet_plugin.settings import load_settings
from testbed.chart import render_template
from testbed.errors import CommandError
from testbed.kubectl import Kubectl, run
from testbed.names import CHART, NAMESPACE, RELEASE, ROOT

WHOLE, INSTANCES = "gpu.hami.io", "mig.gpu.hami.io"
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
(GPU,) = build_inventory([make_slice("node-a", [gpu(0)])])


@pytest.fixture(scope="module")
def kubectl() -> Kubectl:
    """Programs without a cluster."""
    return Kubectl(built(HELM, read_settings()), Path("/dev/null"))


def rendered(kubectl: Kubectl, template: str, **values: str) -> list[Json]:
    """The objects of a template; in the name of a value "__" stands for the dot."""
    given = {name.replace("__", "."): value for name, value in values.items()}
    return [found for found in yaml.safe_load_all(render_template(kubectl, template, given)) if found]


def denies(policy: Json, kind: str, request: Json) -> bool:
    """Whether the policy denies a claim, or a template, with this request, by our own evaluator of CEL."""
    spec = {"devices": {"requests": [request]}}
    told = {"kind": kind, "spec": {"spec": spec} if kind == "ResourceClaimTemplate" else spec}
    (validation,) = policy["spec"]["validations"]
    expression = f"!({validation['expression']})"
    names = [variable["name"] for variable in policy["spec"]["variables"]]
    for number, variable in reversed(list(enumerate(policy["spec"]["variables"]))):
        before = "".join(f'"{name}": variables.{name}, ' for name in names[:number])
        expression = f'cel.bind(variables, {{{before}"{variable["name"]}": {variable["expression"]}}}, {expression})'
    return MATCHES(f"cel.bind(object, {json.dumps(told)}, {expression})", GPU)


def looks_at(policy: Json, before: Json | None, after: Json, user: str = "somebody") -> bool:
    """Whether the policy looks at the creation of an object, or its change from what it was before."""
    request = {"operation": "UPDATE" if before else "CREATE", "userInfo": {"username": user}}
    told = {"request": request, "oldObject": before or {}, "object": after}
    matched = " && ".join(f"({condition['expression']})" for condition in policy["spec"]["matchConditions"])
    for name, value in told.items():
        matched = f"cel.bind({name}, {json.dumps(value)}, {matched})"
    return MATCHES(matched, GPU)


def test_what_was_there_before_the_devices_were_reserved_is_let_go(kubectl: Kubectl) -> None:
    """Else a claim of scheduler mode hung in deletion: Kubernetes could not take its finalizer off."""
    policy, _ = rendered(kubectl, "policy-reserved-devices.yaml")
    plain: Json = {"metadata": {"name": "old"}}
    protected: Json = {"metadata": {"name": "old", "finalizers": ["resource.kubernetes.io/delete-protection"]}}
    assert looks_at(policy, None, plain)
    assert not looks_at(policy, plain, {"metadata": {"name": "old", "labels": {"a": "b"}}})
    assert not looks_at(policy, protected, plain)
    assert looks_at(policy, plain, protected)
    assert not looks_at(policy, plain, protected, f"system:serviceaccount:{NAMESPACE}:{RELEASE}-controller")


@pytest.mark.parametrize("kind", ["ResourceClaim", "ResourceClaimTemplate"])
@pytest.mark.parametrize("device_class", [WHOLE, INSTANCES])
def test_every_class_of_the_chart_is_reserved_for_the_controller(
    kubectl: Kubectl, kind: str, device_class: str
) -> None:
    """Kube-scheduler would pass the taint for a request that tolerates all, whichever of our classes it names."""
    policy, _ = rendered(kubectl, "policy-reserved-devices.yaml")
    asked = {"deviceClassName": device_class, "tolerations": [{"operator": "Exists"}]}
    assert denies(policy, kind, {"name": "gpu", "exactly": asked})
    assert denies(policy, kind, {"name": "gpu", "firstAvailable": [{"name": "any", **asked}]})
    assert not denies(policy, kind, {"name": "gpu", "exactly": {**asked, "deviceClassName": "other.example"}})
    assert not denies(policy, kind, {"name": "gpu", "exactly": {"deviceClassName": device_class}})


@pytest.mark.parametrize(
    ("everywhere", "somewhere", "classes", "only_whole"),
    [
        ("none", "none", {WHOLE}, False),
        ("mixed", "none", {WHOLE, INSTANCES}, True),
        ("none", "mixed", {WHOLE, INSTANCES}, True),
        ("none", "single", {WHOLE, INSTANCES}, False),
        ("single", "mixed", {WHOLE, INSTANCES}, False),
    ],
)
def test_instances_of_some_nodes_have_their_class_and_pass_for_no_whole_gpu(
    kubectl: Kubectl, everywhere: str, somewhere: str, classes: set[str], *, only_whole: bool
) -> None:
    """A claim without memory wants a whole GPU, and would get a seventh of one."""
    found = rendered(
        kubectl,
        "deviceclass.yaml",
        kubeletPlugin__migStrategy=everywhere,
        **{"kubeletPlugin__nodes[0]__name": "a100-*", "kubeletPlugin__nodes[0]__migStrategy": somewhere},
    )
    expressions = {made["metadata"]["name"]: made["spec"]["selectors"][0]["cel"]["expression"] for made in found}
    assert set(expressions) == classes
    assert ('.type == "gpu"' in expressions[WHOLE]) is only_whole


def test_a_million_seconds_are_a_number_to_the_daemons(kubectl: Kubectl, tmp_path: Path) -> None:
    """Helm writes such numbers of a values file as 1e+06 by itself, which the daemons refuse to start with."""
    values = tmp_path / "values.yaml"
    values.write_text(
        "image: {repository: none}\n"
        "controller: {unboundTimeoutSeconds: 1000000, keepPlaceAfterSeconds: 20000000}\n"
        "kubeletPlugin: {gateLookSeconds: 1000000, xidHoldSeconds: 1000000, bypassMiB: 1000000}\n"
    )
    text = run([kubectl.programs / "helm", "template", RELEASE, CHART, f"--values={values}"])
    configs = {}
    for found in yaml.safe_load_all(text):
        if found and found["kind"] == "ConfigMap" and "config.yaml" in found["data"]:
            configs[found["metadata"]["name"]] = tmp_path / found["metadata"]["name"]
            configs[found["metadata"]["name"]].write_text(found["data"]["config.yaml"])
    controller = load([f"--config={configs[f'{RELEASE}-controller']}"], {})
    assert (controller.unbound_timeout_seconds, controller.keep_place_after_seconds) == (10**6, 2 * 10**7)
    plugin = load_settings([f"--config={configs[f'{RELEASE}-kubelet-plugin']}", "--node-name=a"], {})
    assert (plugin.gate_look_seconds, plugin.xid_hold_seconds, plugin.bypass_mib) == (10**6,) * 3


@pytest.mark.parametrize("value", ["controller.gateAndPin", "controller.requireCores"])
def test_what_kube_scheduler_cannot_do_is_refused_in_its_mode(kubectl: Kubectl, value: str) -> None:
    """Rather than left out in silence."""
    values = {"image.repository": "none", value: "true"}
    assert rendered(kubectl, "controller.yaml", **values)
    options = [f"--set={key}={each}" for key, each in {**values, "allocator": "scheduler"}.items()]
    with pytest.raises(CommandError, match=f"{value} is true, but with allocator=scheduler"):
        run([kubectl.programs / "helm", "template", RELEASE, CHART, *options])


SAID = re.compile(r"(--set(?:-json|-string)?) (?:'([^']*)'|([^\s`]+))")
OPTIONS = {
    f"{page.name}: {kind}={quoted or bare}": f"{kind}={quoted or bare}"
    for page in DOCS
    for kind, quoted, bare in SAID.findall(page.read_text())
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
def test_the_chart_takes_what_the_docs_have_set(kubectl: Kubectl, option: str) -> None:
    """Its schema refuses what it does not know, and an empty list that is no list."""
    helm = [kubectl.programs / "helm", "template", RELEASE, CHART, "--namespace", NAMESPACE]
    assert "kind: DaemonSet" in run([*helm, "--set=image.repository=none", option])


def test_the_docs_have_something_set() -> None:
    """Else the test above tests nothing."""
    assert {"README.md", "install.md", "operations.md"} <= {name.partition(":")[0] for name in OPTIONS}
