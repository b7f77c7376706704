"""What the kubelet plugin does that a plain root without capabilities may not; run by test_capabilities.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from plugin_objects import share, share_id

from hami_dra.kubelet_plugin.containers import ContainerFinder
from hami_dra.kubelet_plugin.errors import PluginError
from hami_dra.kubelet_plugin.node_page import NodeFields
from hami_dra.kubelet_plugin.paths import NodePaths
from hami_dra.kubelet_plugin.share_files import ShareFiles
from hami_dra.kubelet_plugin.share_layout import USAGE_FILE_BYTES


def cut_back(shares: ShareFiles, usage: Path) -> bool:
    """A heartbeat cuts a usage file that grew."""
    shares.beat(share_id(1), NodeFields(0))
    return usage.stat().st_size == USAGE_FILE_BYTES


def mended(shares: ShareFiles, usage: Path) -> bool:
    """A start makes what is there usable again."""
    shares.ensure(share(), fresh=False)
    return usage.stat().st_mode & 0o777 == 0o666


def seen(pid: int) -> bool:
    """A process of another user is known with its PID namespace."""
    return ContainerFinder().find(pid) is not None


def entered(root: Path) -> bool:
    """The node's programs run in the node's root."""
    os.chroot(root)
    return True


def main() -> None:
    """Print what of these works."""
    root, pid = Path(sys.argv[1]), int(sys.argv[2])
    shares = ShareFiles(NodePaths(root, root, root, root), lambda: 1)
    usage = root / "shares" / share_id(1) / "usage"
    deeds = {
        "cut": lambda: cut_back(shares, usage),
        "mend": lambda: mended(shares, usage),
        "see": lambda: seen(pid),
        "enter": lambda: entered(root),
    }
    for name, deed in deeds.items():
        try:
            done = deed()
        except (OSError, PluginError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if done:
            print(name)
    os._exit(0)


if __name__ == "__main__":
    main()
