"""The CDI folders: our specs are written and removed, the base specs are only read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hami_dra.api.names import ClaimUid, ShareId
from hami_dra.kubelet_plugin import files
from hami_dra.kubelet_plugin.cdi_plan import find_bases, find_library, find_shares, plan_spec
from hami_dra.kubelet_plugin.entries import Entry
from hami_dra.kubelet_plugin.errors import NodeStateError
from hami_dra.kubelet_plugin.paths import NodePaths, claim_of_spec

_SPEC_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class _Base:
    """The base devices of a spec file, while inode, size and time are these."""

    state: tuple[int, int, int]
    devices: frozenset[str]


class CdiFiles:
    """Our specs in `cdi_dir`, and whoever's base specs in either folder."""

    def __init__(self, paths: NodePaths) -> None:
        self._paths = paths
        self._bases: dict[Path, _Base] = {}

    def write(self, entry: Entry) -> None:
        """Write the claim's spec; a claim without shares has none."""
        spec = plan_spec(entry, self._paths)
        if spec is None:
            return
        files.make_folder(self._paths.cdi_dir)
        data = json.dumps(spec, indent=2).encode() + b"\n"
        files.write_atomic(self._paths.claim_spec(entry.claim.uid), data, mode=0o644, durable=False)

    def remove(self, uid: ClaimUid) -> None:
        """Remove the claim's spec; it may be gone already."""
        files.remove_file(self._paths.claim_spec(uid))

    def list(self) -> tuple[ClaimUid, ...]:
        """The claims that have a spec here."""
        names = (path.name for path in files.list_folder(self._paths.cdi_dir))
        return tuple(uid for uid in map(claim_of_spec, names) if uid is not None)

    def has(self, uid: ClaimUid) -> bool:
        """Whether the claim's spec is there."""
        return self._paths.claim_spec(uid).exists()

    def find_shares(self, uid: ClaimUid) -> tuple[ShareId, ...]:
        """The shares that the claim's spec names; none where there is no readable spec."""
        return find_shares(_parse(self._paths.claim_spec(uid)))

    def find_library(self, uid: ClaimUid) -> str:
        """The library version that the claim's spec mounts; empty where there is no readable spec."""
        return find_library(_parse(self._paths.claim_spec(uid)))

    def has_base(self, uuid: str) -> bool:
        """Whether any spec defines the base device of that GPU."""
        known = [path for path, base in self._bases.items() if uuid in base.devices]
        # Where it was the last time: looking through the folders costs more the more claims there are.
        if any(uuid in self._base_devices(path) for path in known):
            return True
        folders = (self._paths.static_cdi_dir, self._paths.cdi_dir)
        return any(uuid in self._base_devices(path) for folder in folders for path in _foreign_specs(folder))

    def _base_devices(self, path: Path) -> frozenset[str]:
        # A spec of NVIDIA's tool is some 100 KiB of YAML: seconds of parsing, so once per state of the file.
        try:
            status = path.stat()
        except OSError:
            return frozenset()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._bases.get(path)
        if known is None or known.state != state:
            known = _Base(state, find_bases(_parse(path)))
            self._bases[path] = known
        return known.devices


def _foreign_specs(folder: Path) -> list[Path]:
    """Spec files that are not ours, by name."""
    try:
        with os.scandir(folder) as found:
            names = sorted(entry.name for entry in found if claim_of_spec(entry.name) is None)
    except OSError:
        return []
    return [folder / name for name in names if name.endswith(_SPEC_SUFFIXES) and not name.startswith(".")]


def _parse(path: Path) -> Any:
    """The spec in `path`; None where it is absent or malformed, as the container runtime ignores it too."""
    try:
        data = files.read_bytes(path)
        if data is None:
            return None
        return json.loads(data) if path.suffix == ".json" else yaml.safe_load(data)
    except (NodeStateError, ValueError, yaml.YAMLError):
        return None
