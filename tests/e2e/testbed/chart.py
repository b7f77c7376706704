"""The driver's Helm chart on a test bed."""

from collections.abc import Mapping
from pathlib import Path

from testbed.kubectl import Kubectl, run
from testbed.names import CHART, DRIVER_REPOSITORY, DRIVER_ROOT, NAMESPACE, RELEASE
from testbed.waiting import until


def install(kubectl: Kubectl, allocator: str, tag: str, more: Mapping[str, str]) -> None:
    """Install the chart or upgrade it, with `more` values; returns when both daemons are ready."""
    values = {
        "allocator": allocator,
        "image.repository": DRIVER_REPOSITORY,
        "image.tag": tag,
        "image.pullPolicy": "Never",
        "kubeletPlugin.driverRoot": DRIVER_ROOT,
        **more,
    }
    helm: list[str | Path] = [kubectl.programs / "helm", "upgrade", "--install", RELEASE, CHART]
    options = ["--namespace", NAMESPACE, "--create-namespace"]
    options += [f"--set={key}={value}" for key, value in values.items()]
    run([*helm, *options], env=kubectl.environment)
    wait_ready(kubectl)


def render_template(kubectl: Kubectl, template: str, values: Mapping[str, str]) -> str:
    """What one template of the chart says with these values; nothing is asked of the cluster."""
    helm: list[str | Path] = [kubectl.programs / "helm", "template", RELEASE, CHART, "--namespace", NAMESPACE]
    options = [f"--set={key}={value}" for key, value in {"image.repository": "none", **values}.items()]
    return run([*helm, f"--show-only=templates/{template}", *options], env=kubectl.environment)


def wait_ready(kubectl: Kubectl, timeout: int = 120) -> None:
    """Until every pod of both daemons is of the newest revision and ready."""
    for workload in (f"daemonset/{RELEASE}-kubelet-plugin", f"deployment/{RELEASE}-controller"):
        kubectl.within(NAMESPACE)("rollout", "status", workload, f"--timeout={timeout}s", timeout=timeout + 30)


def rollback(kubectl: Kubectl) -> None:
    """Go back to the release before; returns when both daemons are ready."""
    run([kubectl.programs / "helm", "rollback", RELEASE, "--namespace", NAMESPACE], env=kubectl.environment)
    wait_ready(kubectl)


def uninstall(kubectl: Kubectl) -> None:
    """Remove the release; returns when its pods are gone too, which Helm does not wait for."""
    run([kubectl.programs / "helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"], env=kubectl.environment)
    until(lambda: not kubectl.within(NAMESPACE).items("pods"), "the daemons' pods are gone", timeout=120)


def manifest(kubectl: Kubectl) -> str:
    """Every object of the release as it was installed."""
    argv: list[str | Path] = [kubectl.programs / "helm", "get", "manifest", RELEASE, "--namespace", NAMESPACE]
    return run(argv, env=kubectl.environment)


def objects_left(kubectl: Kubectl, manifest: str) -> list[str]:
    """Which objects of a manifest exist, as kubectl names them."""
    within = kubectl.within(NAMESPACE)
    return within("get", "--filename=-", "--ignore-not-found", "--output=name", stdin=manifest).split()
