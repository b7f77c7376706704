"""The settings file's list `nodes`: what differs on nodes of some names.

Every entry is checked on every node, so that a mistake shows on the first node of a
rollout and not on the last one.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from typing import Any

from hami_dra.kubelet_plugin.errors import SettingsError

_NAME = "name"


def settings_of(node: str, entries: object, source: str, keys: Collection[str]) -> dict[str, tuple[str, Any]]:
    """What the entries say for that node, as (where it stands, value) by key; of two entries the later one counts.

    Raises:
        SettingsError: an entry is malformed or has a key that is none of `keys`.
    """
    if not isinstance(entries, list):
        raise SettingsError(f"nodes in {source}: found {type(entries).__name__}, wanted a list of entries with a name")
    found: dict[str, tuple[str, Any]] = {}
    for number, entry in enumerate(entries):
        where = f"nodes[{number}] in {source}"
        pattern = _checked(entry, where, keys)
        if fnmatch.fnmatchcase(node, pattern):
            found |= {key: (f"{key} of {where}", value) for key, value in entry.items() if key != _NAME}
    return found


def _checked(entry: object, where: str, keys: Collection[str]) -> str:
    if not isinstance(entry, Mapping):
        raise SettingsError(f"{where}: found {type(entry).__name__}, wanted name and settings")
    name = entry.get(_NAME)
    if not isinstance(name, str) or not name:
        raise SettingsError(f"{where}: name is {name!r}, wanted a node's name or a pattern such as a100-*")
    unknown = sorted(str(key) for key in entry.keys() - {_NAME, *keys})
    if unknown:
        raise SettingsError(
            f"{where} ({name}): {', '.join(unknown)} cannot be set for a node; these can: {', '.join(sorted(keys))}"
        )
    return name
