"""The base CDI spec, written anew when GPUs, driver or the node's toolkit are others.

Where the node has no toolkit, or the settings want none, the operator writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hami_dra.api import names
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.cdi_plan import find_bases, without_all
from hami_dra.kubelet_plugin.errors import NodeStateError, ToolkitError
from hami_dra.kubelet_plugin.inventory import GpuSource, Inventory
from hami_dra.kubelet_plugin.log import Log
from hami_dra.kubelet_plugin.toolkit import Program

_BY_HAND = (
    "make it on the node with: nvidia-ctk cdi generate --device-name-strategy=uuid --vendor=k8s.gpu.hami.io "
    "--class=base --output=/etc/cdi/k8s.gpu.hami.io-base.yaml"
)


class Describer(Protocol):
    """What makes the spec."""

    @property
    def is_wanted(self) -> bool:
        """Whether the settings want it."""
        ...

    def find(self) -> Program | None:
        """The program that makes it; None where the node has none."""
        ...

    def describe_gpus(self, program: Program) -> bytes:
        """The spec as JSON. Raises ToolkitError."""
        ...


class FailureSink(Protocol):
    """Who hears that the spec could not be made; each failure once."""

    def base_spec_failed(self, reason: str) -> None:
        """It could not."""
        ...


@dataclass(frozen=True)
class _Made:
    inventory: Inventory
    program: Program


class BaseSpec:
    """The file at `path`. For one thread, but for `how_to`."""

    def __init__(self, describer: Describer, path: Path, sink: FailureSink) -> None:
        self._describer = describer
        self._path = path
        self._sink = sink
        self._made: _Made | None = None
        self._failure = ""
        self._log = Log(__name__)

    def refresh(self, inventory: Inventory) -> None:
        """Have the spec for these GPUs; a failure leaves the one that is there, and the next call tries again."""
        try:
            self._refresh(inventory)
        except (ToolkitError, NodeStateError) as error:
            if str(error) != self._failure:
                self._log.error("base CDI spec not written", error=str(error))
                self._sink.base_spec_failed(str(error))
            self._failure = str(error)
        else:
            self._failure = ""

    def how_to(self) -> str:
        """What an operator whose GPU has no base device should know."""
        return self._failure or _BY_HAND

    def _refresh(self, inventory: Inventory) -> None:
        if not self._describer.is_wanted:
            # Ours would lie over the operator's: of two folders the container runtime takes /var/run/cdi.
            files.remove_file(self._path)
            return
        program = self._describer.find()
        if program is None:
            # An upgrade of GPU Operator takes the toolkit away for a while: what was made stays.
            return
        wanted = _Made(inventory, program)
        if wanted == self._made and self._path.exists():
            return
        spec = _checked(self._describer.describe_gpus(program), program)
        files.make_folder(self._path.parent)
        files.write_atomic(self._path, json.dumps(spec, indent=2).encode() + b"\n", mode=0o644, durable=False)
        self._made = wanted
        self._log.info("base CDI spec written", path=str(self._path), devices=sorted(find_bases(spec)))


class DescribedGpus:
    """A source of GPUs whose base spec is there when they are told."""

    def __init__(self, source: GpuSource, spec: BaseSpec) -> None:
        self._source = source
        self._spec = spec

    def read(self) -> Inventory:
        """The GPUs. Raises DriverUnavailable."""
        found = self._source.read()
        self._spec.refresh(found)
        return found


def _checked(data: bytes, program: Program) -> dict[str, Any]:
    try:
        spec = without_all(json.loads(data))
    except ValueError as error:
        raise ToolkitError(f"{program.path} on the node wrote no JSON: {error}") from error
    if spec is None or not find_bases(spec):
        raise ToolkitError(f"{program.path} on the node described no device of kind {names.CDI_KIND_BASE}")
    return spec
