"""This machine's pip settings, for builds that run in another root: they must reach the same package index."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from cluster.processes import run
from cluster.settings import certificate_bundle

_ABOUT_THE_INDEX = frozenset(
    {"index-url", "extra-index-url", "find-links", "cert", "trusted-host", "proxy", "default-timeout", "timeout"}
)


def parse(pip_config_list: str) -> dict[str, str]:
    """The settings about reaching the index in `pip config list`: lines `SECTION.KEY='VALUE'`.

    A later line wins: pip prints the environment's settings (`:env:.KEY`) where they matter.
    """
    found: dict[str, str] = {}
    for line in pip_config_list.splitlines():
        name, separator, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if not separator or key not in _ABOUT_THE_INDEX or section not in ("global", "install", ":env:"):
            continue
        if key not in found or section == ":env:":
            found[key] = str(ast.literal_eval(value))
    return found


def of_this_machine() -> dict[str, str]:
    """What pip on this machine would use; nearly empty where there is no pip."""
    settings = parse(run([sys.executable, "-m", "pip", "config", "list"], check=False))
    bundle = certificate_bundle()
    return settings if bundle is None else {"cert": bundle, **settings}


def render(settings: Mapping[str, str]) -> str:
    """The text of a pip.conf."""
    lines = [f"{key} = {' '.join(value.split())}" for key, value in sorted(settings.items())]
    return "\n".join(["[global]", "disable-pip-version-check = true", "root-user-action = ignore", *lines, ""])


def local_paths(settings: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that the settings point to and that exist."""
    words = [settings.get("cert", ""), *settings.get("find-links", "").split()]
    return [Path(word) for word in words if word.startswith("/") and Path(word).exists()]
