"""Which GPUs of a node are ours to publish, by what the operator says."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hami_dra.kubelet_plugin.errors import SettingsError

_T = TypeVar("_T")
_UUID = re.compile(r"(gpu|mig)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Choice(Generic[_T]):
    """Wanted is what `include` has, all where it is empty, without what `exclude` has."""

    include: tuple[_T, ...] = ()
    exclude: tuple[_T, ...] = ()

    def admits(self, matches: Callable[[_T], bool]) -> bool:
        """Whether something that matches these is wanted."""
        return (not self.include or any(map(matches, self.include))) and not any(map(matches, self.exclude))


@dataclass(frozen=True)
class GpuFilter:
    """A GPU is published when all three admit it. UUIDs and models in lower case, indices as nvidia-smi counts."""

    uuids: Choice[str] = Choice()
    indices: Choice[int] = Choice()
    models: Choice[str] = Choice()

    def admits(self, index: int, uuids: Collection[str], model: str) -> bool:
        """Whether this GPU is published, or this instance of it, which has two UUIDs: the GPU's and its own."""
        own = {uuid.lower() for uuid in uuids}
        return (
            self.uuids.admits(lambda wanted: wanted in own)
            and self.indices.admits(lambda wanted: wanted == index)
            and self.models.admits(lambda wanted: wanted in model.lower())
        )


def parse_uuids(source: str, text: str) -> tuple[str, ...]:
    """UUIDs as nvidia-smi spells them, between commas. Raises SettingsError."""
    found = tuple(part.lower() for part in _parts(text))
    for uuid in found:
        if not _UUID.fullmatch(uuid):
            raise SettingsError(f"{source} has {uuid!r}, wanted UUIDs such as GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01")
    return found


def parse_indices(source: str, text: str) -> tuple[int, ...]:
    """Numbers between commas. Raises SettingsError."""
    found = _parts(text)
    for part in found:
        if not part.isdecimal():
            raise SettingsError(f"{source} has {part!r}, wanted numbers from 0, as nvidia-smi counts GPUs")
    return tuple(map(int, found))


def parse_models(text: str) -> tuple[str, ...]:
    """Parts of model names, between commas."""
    return tuple(part.lower() for part in _parts(text))


def _parts(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
