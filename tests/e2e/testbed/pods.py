"""Pods with a share out of the template of the story `faults`."""

import json

import yaml

from testbed.reading import Json
from testbed.story import EXAMPLES


def loop_on(node: str) -> str:
    """The story itself, its template and its pod, on that node."""
    template, pod = yaml.safe_load_all((EXAMPLES / "faults" / "pod.yaml").read_text())
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    return yaml.safe_dump_all([template, pod])


def pod_on(node: str, name: str = "after") -> str:
    """A pod on that node that holds 100 MiB."""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  resourceClaims: [{{name: gpu, resourceClaimTemplateName: loop}}]
  containers:
    - name: cuda
      image: localhost/hami-dra/workload:dev
      imagePullPolicy: IfNotPresent
      command: [gpu-sample, hold, "100"]
      resources: {{claims: [{{name: gpu}}]}}
"""


def lone_claim(name: str) -> str:
    """A claim of no template that asks for what the loop's asks for."""
    return f"""
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {{name: {name}}}
spec:
  devices:
    requests:
      - name: gpu
        exactly: {{deviceClassName: gpu.hami.io, capacity: {{requests: {{memory: 2000Mi}}}}}}
"""


def pod_with(node: str, name: str, claim: str) -> str:
    """Such a pod with a claim that is there, in place of one out of the template."""
    return pod_on(node, name).replace("resourceClaimTemplateName: loop", f"resourceClaimName: {claim}")


def bypassing(node: str) -> str:
    """A pod that takes the preload file off and then uses three times its share."""
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bypass", "labels": {"app": "bypass"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "loop"}],
            "containers": [
                {
                    "name": "cuda",
                    "image": "localhost/hami-dra/workload:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", "umount /etc/ld.so.preload && exec gpu-sample hold 6000"],
                    "securityContext": {"privileged": True},
                    "resources": {"claims": [{"name": "gpu"}]},
                }
            ],
        },
    }
    return json.dumps(pod)
