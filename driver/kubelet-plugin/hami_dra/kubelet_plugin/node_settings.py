"""The settings file's list `nodes`: what differs on nodes of some names.

Every entry is checked on every node, so that a mistake shows on the first node of a
rollout and not on the last one.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hami_dra.kubelet_plugin.errors import SettingsError

_NAME = "name"

Sourced = dict[str, tuple[str, Any]]
"""Where it stands and the value, by key."""


def settings_of(
    node: str, entries: object, source: str, keys: Collection[str], check: Callable[[str, Sourced], None]
) -> Sourced:
    """What the entries say for that node; of two entries the later one counts.

    `check` takes where an entry stands and what it says, and raises SettingsError.

    Raises:
        SettingsError: an entry is malformed, has a key that is none of `keys`, or is refused by `check`.
    """
    if not isinstance(entries, list):
        raise SettingsError(f"nodes in {source}: found {type(entries).__name__}, wanted a list of entries with a name")
    found: Sourced = {}
    for number, entry in enumerate(entries):
        where = f"nodes[{number}] in {source}"
        pattern = _checked(entry, where, keys)
        said = {key: (f"{key} of {where}", value) for key, value in entry.items() if key != _NAME}
        check(where, said)
        if fnmatch.fnmatchcase(node, pattern):
            found |= said
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
