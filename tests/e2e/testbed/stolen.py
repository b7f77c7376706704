"""The token of a kubelet plugin in the hands of somebody else."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from hami_dra.kube.transport import Client, connect
from testbed.names import NAMESPACE, RELEASE
from testbed.reading import Json

SERVICE_ACCOUNT = f"{RELEASE}-kubelet-plugin"
_TOKENS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{SERVICE_ACCOUNT}/token"


def token(admin: Client, pod: Json | None) -> str:
    """A token as kubelet gives it to that pod of the plugin; without one, bound to nothing. Raises KubeError."""
    spec: Json = {"expirationSeconds": 600}
    if pod is not None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    text: str = admin.create(_TOKENS, request)["status"]["token"]
    return text


def client_with(text: str, kubeconfig: Path, folder: Path) -> Client:
    """A client of the cluster of `kubeconfig` that has this token and nothing else."""
    cluster = _cluster(kubeconfig)
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stolen",
        "clusters": [{"name": "stolen", "cluster": cluster}],
        "users": [{"name": "stolen", "user": {"token": text}}],
        "contexts": [{"name": "stolen", "context": {"cluster": "stolen", "user": "stolen"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(made))
    return connect(str(path))


def _cluster(kubeconfig: Path) -> dict[str, Any]:
    cluster: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = cluster.pop("certificate-authority", None)
    if authority:
        data = (kubeconfig.parent / authority).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(data).decode()
    return cluster
