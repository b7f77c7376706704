"""The same under the names that HAMi's own monitor has, for boards and alerts that were made for it."""

from __future__ import annotations

from collections import Counter

from hami_dra.kubelet_plugin.consumers import Consumer
from hami_dra.kubelet_plugin.entries import ShareResult
from hami_dra.kubelet_plugin.exposition import Exposition, label_text
from hami_dra.kubelet_plugin.usage import KINDS, Health, Usage
from hami_dra.kubelet_plugin.usage_metrics import NS_PER_SECOND, Scene

_VGPU = "hami_vgpu_"
_HOST = "hami_host_gpu_"
_CONTAINER = "hami_container_"
_BUFFERS = frozenset(KINDS) - {"context", "module"}

FAMILIES = (
    (f"{_VGPU}memory_limit_bytes", "Memory that the container may use."),
    (f"{_VGPU}memory_used_bytes", "Memory that the container's share has in use."),
    (f"{_VGPU}memory_context_bytes", "Memory of contexts."),
    (f"{_VGPU}memory_module_bytes", "Memory of modules."),
    (f"{_VGPU}memory_buffer_bytes", "Memory of everything else."),
    (f"{_VGPU}memory_allocated_bytes", "Memory given to the container."),
    (f"{_VGPU}core_allocated_ratio", "Percents of the cores given to the container."),
    (f"{_CONTAINER}device_utilization_ratio", "Percents of the GPU's cores in use."),
    (f"{_CONTAINER}last_kernel_elapsed_seconds", "Seconds since the share last worked."),
    (f"{_HOST}memory_used_bytes", "Memory of the GPU in use."),
    (f"{_HOST}utilization_ratio", "Percents of the time in which the GPU worked."),
)


def render(scene: Scene, node_name: str) -> bytes:
    """The exposition text; one series for each container of a share."""
    text = Exposition()
    for name, meaning in FAMILIES:
        text.declare(name, "gauge", meaning)
    indices = Counter[Consumer]()
    for entry in scene.entries:
        for share in sorted(entry.shares, key=lambda share: (share.device, share.share_id)):
            usage = scene.usage(share)
            for consumer in scene.look.consumers.find(entry.claim, share.device, share.share_id):
                labels = {
                    "namespace": consumer.namespace,
                    "pod": consumer.pod,
                    "container": consumer.container,
                    "vdevice_index": str(indices[consumer]),
                    "device_uuid": share.uuid,
                }
                indices[consumer] += 1
                _add(text, scene, share, label_text(labels), usage)
    # As nvidia-smi counts, where minor numbers are in the order of the bus; none of GPUs that are not ours to give.
    minors = {gpu.uuid: str(gpu.minor) for gpu in scene.gpus}
    for uuid, gpu in sorted(scene.look.accounts.gpus.items()):
        index = minors.get(uuid, "")
        labels = {"node": node_name, "device_uuid": uuid, "device_index": index, "device_type": "NVIDIA"}
        for name, value in (
            ("memory_used_bytes", gpu.sample.memory_used_bytes),
            ("utilization_ratio", gpu.sample.busy_percent),
        ):
            if value is not None:
                text.add(f"{_HOST}{name}", label_text(labels), value)
    return text.render()


def _add(text: Exposition, scene: Scene, share: ShareResult, labels: str, usage: Usage) -> None:
    text.add(f"{_VGPU}memory_limit_bytes", labels, share.memory_bytes)
    text.add(f"{_VGPU}memory_allocated_bytes", labels, share.memory_bytes)
    text.add(f"{_VGPU}core_allocated_ratio", labels, share.core_percent)
    account = scene.look.accounts.shares.get(share.share_id)
    if account and account.busy_percent is not None:
        text.add(f"{_CONTAINER}device_utilization_ratio", labels, account.busy_percent)
    if usage.health is Health.DAMAGED:
        return
    kinds = dict(zip(KINDS, usage.kinds, strict=False))
    text.add(f"{_VGPU}memory_used_bytes", labels, usage.memory_bytes)
    text.add(f"{_VGPU}memory_context_bytes", labels, kinds.get("context", 0))
    text.add(f"{_VGPU}memory_module_bytes", labels, kinds.get("module", 0))
    text.add(f"{_VGPU}memory_buffer_bytes", labels, sum(kinds.get(kind, 0) for kind in _BUFFERS))
    if usage.last_activity_ns:
        elapsed = (scene.look.at_ns - usage.last_activity_ns) / NS_PER_SECOND
        text.add(f"{_CONTAINER}last_kernel_elapsed_seconds", labels, max(elapsed, 0.0))
