"""Metrics of shares and GPUs: what the ledgers say at the scrape, what NVML saw at the last look."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hami_dra.api.names import METRICS_PREFIX, TYPE_GPU, TYPE_MIG, ShareId, device_name
from hami_dra.kubelet_plugin.accounting import ShareAccount
from hami_dra.kubelet_plugin.bypass import beyond_by_device
from hami_dra.kubelet_plugin.consumers import Consumer
from hami_dra.kubelet_plugin.entries import Entry, ShareResult
from hami_dra.kubelet_plugin.exposition import Exposition, label_text
from hami_dra.kubelet_plugin.health import Troubles
from hami_dra.kubelet_plugin.inventory import Gpu
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.usage import KINDS, Health, Usage

NS_PER_SECOND = 1e9
_SHARE = f"{METRICS_PREFIX}share_"
_CONTAINER = f"{METRICS_PREFIX}container_"
_GPU = f"{METRICS_PREFIX}node_gpu_"

FAMILIES = (
    (f"{_SHARE}memory_limit_bytes", "gauge", "Memory that the share may use."),
    (f"{_SHARE}cores_limit_percent", "gauge", "Cores that the share may use; 0 is no limit."),
    (f"{_SHARE}memory_used_bytes", "gauge", "Memory charged to the share's living processes."),
    (f"{_SHARE}memory_kind_bytes", "gauge", "Memory charged to the share, by what it is for."),
    (f"{_SHARE}memory_device_bytes", "gauge", "Memory that the driver says the share's processes have."),
    (f"{_SHARE}memory_beyond_bytes", "gauge", "Memory that the driver sees beyond what is charged."),
    (f"{_SHARE}busy_percent", "gauge", "GPU cores that the driver saw the share's processes use."),
    (f"{_SHARE}launches_total", "counter", "Kernels launched."),
    (f"{_SHARE}gpu_seconds_total", "counter", "GPU time spent."),
    (f"{_SHARE}throttled_seconds_total", "counter", "Time that launches waited for the share's turn."),
    (f"{_SHARE}last_activity_timestamp_seconds", "gauge", "When the share last worked, in Unix time."),
    (f"{_SHARE}denied_allocations_total", "counter", "Allocations refused for want of memory."),
    (f"{_SHARE}processes", "gauge", "Processes that use the share."),
    (f"{_SHARE}usage_damaged", "gauge", "Whether the share's usage region cannot be believed."),
    (f"{_SHARE}node_pages_mended_total", "counter", "Times that the share's node page was damaged and written anew."),
    (f"{_CONTAINER}memory_used_bytes", "gauge", "Memory charged to the container's processes on one share."),
    (f"{_CONTAINER}processes", "gauge", "Processes of the container that use the share."),
    (f"{_GPU}info", "gauge", "1; the labels say which GPU or MIG instance the device is."),
    (f"{_GPU}memory_total_bytes", "gauge", "Memory of the GPU."),
    (f"{_GPU}memory_used_bytes", "gauge", "Memory of the GPU in use, by whomever."),
    (f"{_GPU}memory_beyond_bytes", "gauge", "Memory in use beyond what shares account for."),
    (f"{_GPU}busy_percent", "gauge", "Time in which the GPU worked."),
    (f"{_GPU}memory_busy_percent", "gauge", "Time in which the GPU's memory was read or written."),
    (f"{_GPU}processes", "gauge", "Processes on the GPU."),
    (f"{_GPU}healthy", "gauge", "1 unless something is wrong with the GPU or it is cordoned."),
)


@dataclass(frozen=True)
class Scene:
    """All that a scrape shows. `usage` reads one share now, `to_unix` turns CLOCK_MONOTONIC into Unix seconds.

    `mended` counts the node pages of a share that were damaged.
    """

    entries: tuple[Entry, ...]
    usage: Callable[[ShareResult], Usage]
    look: Look
    gpus: Iterable[Gpu]
    troubles: Troubles
    to_unix: Callable[[int], float]
    mended: Callable[[ShareId], int]


def render(scene: Scene) -> bytes:
    """The exposition text."""
    text = Exposition()
    for name, kind, meaning in FAMILIES:
        text.declare(name, kind, meaning)
    for entry in scene.entries:
        for share in entry.shares:
            _add_share(text, scene, entry, share)
    _add_gpus(text, scene)
    return text.render()


def _add_share(text: Exposition, scene: Scene, entry: Entry, share: ShareResult) -> None:
    consumers = scene.look.consumers.find(entry.claim, share.device, share.share_id)
    labels = {
        "namespace": entry.claim.namespace,
        "claim": entry.claim.name,
        "share": share.share_id,
        "device": share.device,
        "pod": ",".join(dict.fromkeys(consumer.pod for consumer in consumers)),
        "container": ",".join(dict.fromkeys(consumer.container for consumer in consumers)),
    }
    own, usage = label_text(labels), scene.usage(share)
    text.add(f"{_SHARE}memory_limit_bytes", own, share.memory_bytes)
    text.add(f"{_SHARE}cores_limit_percent", own, share.core_percent)
    text.add(f"{_SHARE}usage_damaged", own, int(usage.health is Health.DAMAGED))
    text.add(f"{_SHARE}node_pages_mended_total", own, scene.mended(share.share_id))
    account = scene.look.accounts.shares.get(share.share_id)
    if account:
        text.add(f"{_SHARE}memory_device_bytes", own, account.device_bytes)
        text.add(f"{_SHARE}memory_beyond_bytes", own, scene.look.beyond.get(share.share_id, 0))
        if account.busy_percent is not None:
            text.add(f"{_SHARE}busy_percent", own, account.busy_percent)
    if usage.health is not Health.DAMAGED:
        _add_usage(text, scene, own, usage)
        _add_containers(text, labels, consumers, usage, account)


def _add_usage(text: Exposition, scene: Scene, own: str, usage: Usage) -> None:
    text.add(f"{_SHARE}memory_used_bytes", own, usage.memory_bytes)
    for kind, charged in zip(KINDS, usage.kinds, strict=False):
        if charged:
            text.add(f"{_SHARE}memory_kind_bytes", f'{own},kind="{kind}"', charged)
    text.add(f"{_SHARE}launches_total", own, usage.launches)
    text.add(f"{_SHARE}gpu_seconds_total", own, usage.gpu_ns / NS_PER_SECOND)
    text.add(f"{_SHARE}throttled_seconds_total", own, usage.throttled_ns / NS_PER_SECOND)
    if usage.last_activity_ns:
        text.add(f"{_SHARE}last_activity_timestamp_seconds", own, scene.to_unix(usage.last_activity_ns))
    text.add(f"{_SHARE}denied_allocations_total", own, usage.denied)
    text.add(f"{_SHARE}processes", own, len(usage.processes))


def _add_containers(
    text: Exposition,
    labels: dict[str, str],
    consumers: tuple[Consumer, ...],
    usage: Usage,
    account: ShareAccount | None,
) -> None:
    names = {container.pid_namespace: container.name for container in account.containers} if account else {}
    for consumer in consumers:
        own = [
            slot
            for slot in usage.processes
            # With one container all is its own; else its processes must have been seen by the driver.
            if len(consumers) == 1 or names.get(slot.pid_namespace) == consumer.container
        ]
        named = label_text({**labels, "pod": consumer.pod, "container": consumer.container})
        text.add(f"{_CONTAINER}memory_used_bytes", named, sum(slot.memory_bytes for slot in own))
        text.add(f"{_CONTAINER}processes", named, len(own))


def _add_gpus(text: Exposition, scene: Scene) -> None:
    for gpu in scene.gpus:
        device = device_name(gpu.uuid)
        text.add(f"{_GPU}info", _identity(gpu), 1)
        text.add(f"{_GPU}healthy", label_text({"device": device}), int(device not in scene.troubles))
    beyond = beyond_by_device(scene.look, scene.entries)
    for uuid, account in scene.look.accounts.gpus.items():
        own, sample = label_text({"device": device_name(uuid)}), account.sample
        values = {
            "memory_total_bytes": sample.memory_total_bytes,
            "memory_used_bytes": sample.memory_used_bytes,
            "memory_beyond_bytes": beyond[device_name(uuid)],
            "busy_percent": sample.busy_percent,
            "memory_busy_percent": sample.memory_busy_percent,
            "processes": None if sample.processes is None else len(sample.processes),
        }
        for name, value in values.items():
            if value is not None:
                text.add(f"{_GPU}{name}", own, value)


def _identity(gpu: Gpu) -> str:
    mig = gpu.mig
    return label_text(
        {
            "device": device_name(gpu.uuid),
            "uuid": gpu.uuid,
            "model": gpu.model,
            "type": TYPE_MIG if mig else TYPE_GPU,
            "profile": mig.profile if mig else "",
            "parent": device_name(mig.parent_uuid) if mig else "",
        }
    )
