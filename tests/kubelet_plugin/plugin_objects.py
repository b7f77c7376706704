"""Builders and fakes of the kubelet plugin's tests."""

from __future__ import annotations

import dataclasses
import json
import queue
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hami_dra.api import names
from hami_dra.api.names import ClaimUid, DeviceName, ShareId
from hami_dra.api.resources import Claim
from hami_dra.kubelet_plugin.cdi_files import CdiFiles
from hami_dra.kubelet_plugin.cdi_plan import cdi_ids
from hami_dra.kubelet_plugin.checkpoint_files import CheckpointFiles
from hami_dra.kubelet_plugin.consumers import Consumers
from hami_dra.kubelet_plugin.effects import Effects
from hami_dra.kubelet_plugin.entries import ClaimRef, Entry, ShareResult, State
from hami_dra.kubelet_plugin.errors import DriverInterrupted, DriverUnavailable, KubeletUnavailable, ToolkitError
from hami_dra.kubelet_plugin.health_plan import GpuState, XidEvent
from hami_dra.kubelet_plugin.inventory import Gpu, Inventory, MigInstance
from hami_dra.kubelet_plugin.ledger import Ledger
from hami_dra.kubelet_plugin.library import LibraryFiles
from hami_dra.kubelet_plugin.locks import FileCallLock
from hami_dra.kubelet_plugin.look import Look
from hami_dra.kubelet_plugin.metadata_files import MetadataFiles
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.prepare import PrepareOptions, Preparer
from hami_dra.kubelet_plugin.processes import Alive
from hami_dra.kubelet_plugin.recovery import Recovered, recover
from hami_dra.kubelet_plugin.samples import Container, Sample, Work
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.toolkit import Program

NODE = "node-a"
MIB = 1 << 20
BOOT = "boot-1"


def uuid(number: int) -> str:
    """NVML's name of the GPU with this number; upper-case digits show where case matters."""
    return f"GPU-0000000A-0000-0000-0000-{number:012d}"


def device(number: int) -> str:
    """The device name of that GPU."""
    return uuid(number).lower()


def share_id(number: int) -> ShareId:
    """The identity of a share that our controller allocated."""
    return ShareId(f"5aaaaaaa-0000-8000-8000-{number:012d}")


def gpu(number: int, memory_bytes: int = 80_000 * MIB) -> Gpu:
    """A GPU of which everything is known."""
    return Gpu(
        uuid=uuid(number),
        model="NVIDIA H100 80GB HBM3",
        minor=number,
        memory_bytes=memory_bytes,
        architecture="Hopper",
        compute_capability=(9, 0),
        pci_bus_id=f"0000:{number:02x}:00.0",
        pcie_root="pci0000:00",
        numa_node=0,
    )


def instance(number: int, parent: int = 1, profile: str = "1g.10gb", memory_bytes: int = 9984 * MIB) -> Gpu:
    """A MIG instance of the GPU with that number."""
    whole = gpu(parent)
    return dataclasses.replace(
        whole,
        uuid=f"MIG-0000000C-0000-5000-8000-{number:012d}",
        model=f"{whole.model} MIG {profile}",
        memory_bytes=memory_bytes,
        mig=MigInstance(whole.uuid, profile, 16),
    )


def inventory(count: int = 2) -> Inventory:
    """A node with GPUs 0 to `count` - 1."""
    return Inventory("580.82.07", 13000, tuple(gpu(number) for number in range(count)))


def result(number: int = 0, share: int = 1, **changes: Any) -> dict[str, Any]:
    """An allocation result of our driver."""
    found: dict[str, Any] = {
        "request": "gpu",
        "driver": names.DRIVER,
        "pool": NODE,
        "device": device(number),
        "shareID": share_id(share),
        "consumedCapacity": {"memory": "3000Mi", "cores": "30", "shares": "1"},
    }
    found.update(changes)
    return {key: value for key, value in found.items() if value is not None}


def claim_json(
    uid: str = "claim-1", results: Sequence[dict[str, Any]] | None = None, config: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A raw claim, allocated unless `results` is empty."""
    results = [result()] if results is None else results
    status: dict[str, Any] = {"reservedFor": [{"resource": "pods", "name": "pod-1", "uid": "pod-uid-1"}]}
    if results:
        status["allocation"] = {"devices": {"results": list(results), "config": list(config)}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"namespace": "default", "name": uid, "uid": uid},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": names.DEVICE_CLASS}}]}},
        "status": status,
    }


def claim(
    uid: str = "claim-1", results: Sequence[dict[str, Any]] | None = None, config: Sequence[dict[str, Any]] = ()
) -> Claim:
    """The same, parsed."""
    return Claim.from_json(claim_json(uid, results, config))


def share_config(source: str = "FromClaim", requests: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """A configuration of an allocation."""
    parameters = {"apiVersion": names.SHARE_CONFIG_API_VERSION, "kind": names.SHARE_CONFIG_KIND, **fields}
    opaque = {"driver": names.DRIVER, "parameters": parameters}
    return {"source": source, "requests": list(requests), "opaque": opaque}


def share(number: int = 0, share: int = 1, memory_mib: int = 3000, cores: int = 30) -> ShareResult:
    """A share as an entry holds it."""
    return ShareResult(
        request="gpu",
        device=DeviceName(device(number)),
        uuid=uuid(number),
        share_id=share_id(share),
        memory_bytes=memory_mib * MIB,
        core_percent=cores,
        core_limit="hard",
        priority=None,
        admin_access=False,
        cdi_ids=cdi_ids(share_id(share), uuid(number)),
    )


def entry(uid: str = "claim-1", *shares: ShareResult, state: State = State.COMPLETED) -> Entry:
    """A checkpoint entry."""
    ref = ClaimRef("default", uid, ClaimUid(uid))
    return Entry(state, BOOT, ref, shares or (share(),), "0.1.0-abcdef01")


class FakeGpus:
    """A driver that can be away."""

    def __init__(self, found: Inventory | None) -> None:
        self.found = found

    def read(self) -> Inventory:
        """The inventory given."""
        if self.found is None:
            raise DriverUnavailable("no libnvidia-ml.so.1 under /nowhere")
        return self.found


class FakeToolkit:
    """A node's toolkit: `program` None is none, `devices` None is one that fails."""

    def __init__(self) -> None:
        self.is_wanted = True
        self.program: Program | None = None
        self.devices: list[str] | None = [uuid(0), uuid(1), "all"]
        self.runs = 0

    def find(self) -> Program | None:
        """The program put here."""
        return self.program

    def describe_gpus(self, program: Program) -> bytes:
        """A spec with the devices put here."""
        self.runs += 1
        if self.devices is None:
            raise ToolkitError(f"{program.path} on the node: exit status 1: no driver")
        devices = [{"name": name, "containerEdits": {}} for name in self.devices]
        return json.dumps({"cdiVersion": "0.5.0", "kind": names.CDI_KIND_BASE, "devices": devices}).encode()


class FakeClaims:
    """Claims by UID; everything else is gone."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self.reads: list[str] = []

    def read(self, ref: ClaimRef) -> Claim | None:
        """The claim that was put here."""
        self.reads.append(ref.uid)
        return self.claims.get(ref.uid)


class FakeProcesses:
    """One answer for all shares, unless a share has its own."""

    def __init__(self, answer: Alive = Alive.NO) -> None:
        self.answer = answer
        self.by_share: dict[str, Alive] = {}

    def find(self, share_id: ShareId) -> Alive:
        """The answer."""
        return self.by_share.get(share_id, self.answer)


class Unwatched:
    """GPUs at which nobody looks."""

    latest = Look()

    def tell(self, share_id: ShareId, *, others_work: bool, own_part: float) -> int:
        """No correction."""
        return 0


class FakeSampler:
    """Samples as they are put here; None is a driver that is away."""

    def __init__(self) -> None:
        self.found: Sample | None = {}
        self.worked: dict[str, Work] = {}

    def sample(self) -> Sample:
        """What was put here."""
        if self.found is None:
            raise DriverUnavailable("no libnvidia-ml.so.1 under /nowhere")
        return self.found

    def work(self) -> Mapping[str, Work]:
        """What was put here."""
        if self.found is None:
            raise DriverUnavailable("no libnvidia-ml.so.1 under /nowhere")
        return self.worked

    def close(self) -> None:
        """Nothing is open."""


class FakeHealth:
    """Events and states as they are put here; `states` None is a driver that is away."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[XidEvent] = queue.SimpleQueue()
        self.states: dict[str, GpuState] | None = {}
        self.is_interrupted = False

    def wait(self, seconds: float) -> XidEvent | None:
        """The next event."""
        if self.states is None:
            raise DriverUnavailable("NVML stopped answering")
        if self.is_interrupted:
            raise DriverInterrupted("NVML stopped answering: GPU is lost")
        try:
            return self.events.get(timeout=min(seconds, 0.05))
        except queue.Empty:
            return None

    def read(self) -> dict[str, GpuState]:
        """What was put here."""
        if self.states is None:
            raise DriverUnavailable("NVML stopped answering")
        return self.states

    def close(self) -> None:
        """Nothing is open."""


class FakeConsumers:
    """kubelet's answer about containers; None is a kubelet that is away."""

    def __init__(self) -> None:
        self.found: Consumers | None = Consumers()
        self.reads = 0
        self.device_ids: dict[str, list[str]] = {}

    def read(self) -> Consumers:
        """What was put here."""
        self.reads += 1
        if self.found is None:
            raise KubeletUnavailable("kubelet's pod resources: no such socket")
        return self.found

    def read_device_ids(self) -> dict[str, list[str]]:
        """What was put here."""
        if self.found is None:
            raise KubeletUnavailable("kubelet's pod resources: no such socket")
        return self.device_ids


class Node:
    """A node's folders under a temporary one, with a library and base CDI specs."""

    def __init__(self, root: Path, gpus: int = 2) -> None:
        self.paths = NodePaths(
            plugin_dir=root / "plugins" / names.DRIVER,
            run_dir=root / "run",
            cdi_dir=root / "cdi",
            static_cdi_dir=root / "static-cdi",
        )
        self.library = root / "image" / names.LIBRARY_NAME
        self.library.parent.mkdir()
        self.library.write_bytes(b"ELF")
        self.paths.plugin_dir.mkdir(parents=True)
        self.paths.static_cdi_dir.mkdir()
        self.write_base(gpus)
        self.claims = FakeClaims()
        self.processes = FakeProcesses()
        self.health = FakeHealth()
        self.sampler = FakeSampler()
        self.toolkit = FakeToolkit()
        self.containers: dict[int, Container] = {}
        self.consumers = FakeConsumers()

    def write_base(self, gpus: int) -> None:
        """What NVIDIA's tool, or the fake driver's installer, leaves on a node."""
        devices = [{"name": uuid(number), "containerEdits": {}} for number in range(gpus)]
        spec = {"cdiVersion": "0.5.0", "kind": names.CDI_KIND_BASE, "devices": devices}
        (self.paths.static_cdi_dir / "base.json").write_text(json.dumps(spec))

    def effects(self) -> Effects:
        """The real files, with fake claims and processes."""
        return Effects(
            claims=self.claims,
            lock=FileCallLock(self.paths.calls_lock),
            checkpoint=self.checkpoint(),
            shares=ShareFiles(self.paths, time.monotonic_ns),
            specs=CdiFiles(self.paths),
            metadata=MetadataFiles(self.paths, NODE),
            library=LibraryFiles(self.paths, self.library, "0.1.0"),
            processes=self.processes,
        )

    def checkpoint(self, *, durable: bool = True) -> CheckpointFiles:
        """The checkpoint on disk."""
        paths = self.paths
        return CheckpointFiles(paths.claims_dir, paths.checkpoint, paths.calls_lock, durable=durable)

    def lose_checkpoint(self) -> None:
        """Remove it, as a hand or a disk does."""
        shutil.rmtree(self.paths.claims_dir, ignore_errors=True)
        self.paths.checkpoint.unlink(missing_ok=True)

    def files(self) -> set[str]:
        """Everything that a share left on the node, relative to the root."""
        root = self.paths.run_dir.parent
        kept = (self.paths.shares_dir, self.paths.cdi_dir, self.paths.metadata_dir)
        return {str(path.relative_to(root)) for folder in kept for path in folder.rglob("*")}


@dataclasses.dataclass(frozen=True)
class Process:
    """A plugin process that just recovered: its preparer, its ledger, what it found."""

    preparer: Preparer
    ledger: Ledger
    recovered: Recovered

    def prepare(self, claim: Claim) -> Entry:
        """Prepare."""
        return self.preparer.prepare(claim)

    def unprepare(self, uid: str) -> None:
        """Unprepare."""
        self.preparer.unprepare(ClaimUid(uid))

    def entries(self) -> tuple[Entry, ...]:
        """What it holds."""
        return self.ledger.snapshot()


def start(
    node: Node, effects: Effects | None = None, *, boot: str = BOOT, shares_per_gpu: int = 10, gpus: int = 2
) -> Process:
    """Start a plugin process on the node."""
    effects = effects or node.effects()
    ledger = Ledger(effects.checkpoint)
    recovered = recover(effects, ledger, boot)
    options = PrepareOptions(
        node_name=NODE,
        boot_id=boot,
        shares_per_gpu=shares_per_gpu,
        cdi_folders="/etc/cdi or /var/run/cdi",
        how_to_base=lambda: "make it with: nvidia-ctk",
    )
    return Process(Preparer(effects, ledger, options, lambda: inventory(gpus)), ledger, recovered)
