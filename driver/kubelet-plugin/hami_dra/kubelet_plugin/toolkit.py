"""NVIDIA's toolkit as the node has it: `nvidia-ctk` describes how a container reaches the GPUs.

The node's own program and none in our image: what it writes names hooks of its
own version, which the container runtime later starts on the node. It runs in
the node's root, so every path that it is given, finds or writes is the node's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hami_dra.api import names
from hami_dra.kubelet_plugin.errors import ToolkitError

_TIMEOUT_SECONDS = 60.0
_HOOK = "nvidia-cdi-hook"
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_MESSAGE_LENGTH = 500


@dataclass(frozen=True)
class Program:
    """`nvidia-ctk` at a path on the node, while inode, size and time are these."""

    path: PurePosixPath
    state: tuple[int, int, int]


@dataclass(frozen=True)
class NodeRoots:
    """Folders on the node, but for `here`: where the node's root is seen by this process.

    `dev` holds the folder `dev` with the GPUs' device nodes; None is the driver's root where that has them, else `/`.
    """

    here: Path
    driver: PurePosixPath
    dev: PurePosixPath | None = None

    def seen(self, path: PurePosixPath) -> Path:
        """Where this process sees a path of the node."""
        return self.here / path.relative_to("/")

    def find_dev(self) -> PurePosixPath:
        """The root of the device nodes."""
        if self.dev is not None:
            return self.dev
        return self.driver if (self.seen(self.driver) / "dev/nvidiactl").exists() else PurePosixPath("/")


class Toolkit:
    """The first program of `paths` that is there."""

    def __init__(self, roots: NodeRoots, paths: Sequence[PurePosixPath]) -> None:
        self._roots = roots
        self._paths = paths

    @property
    def is_wanted(self) -> bool:
        """Whether any path was given."""
        return bool(self._paths)

    def find(self) -> Program | None:
        """The program; None where the node has none."""
        for path in self._paths:
            try:
                # Its own state: a link may lead to a path that only the node's root has.
                status = self._roots.seen(path).lstat()
            except OSError:
                continue
            return Program(path, (status.st_ino, status.st_size, status.st_mtime_ns))
        return None

    def describe_gpus(self, program: Program) -> bytes:
        """The base spec as JSON.

        Raises:
            ToolkitError: the program cannot be started, takes too long or fails; the text has its last words.
        """
        command = [*self._enter(), *plan_command(program.path, self._roots, has_hook=self._has_hook(program))]
        try:
            done = subprocess.run(
                command,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolkitError(f"{program.path} on the node: {error}") from error
        if done.returncode:
            raise ToolkitError(f"{program.path} on the node: exit status {done.returncode}: {_last_words(done.stderr)}")
        return done.stdout

    def _enter(self) -> list[str]:
        return [] if self._roots.here == Path("/") else ["chroot", os.fspath(self._roots.here)]

    def _has_hook(self, program: Program) -> bool:
        return os.path.lexists(self._roots.seen(program.path.parent / _HOOK))


def plan_command(program: PurePosixPath, roots: NodeRoots, *, has_hook: bool) -> list[str]:
    """What is run in the node's root. Without `has_hook` the program looks for its hooks itself."""
    command = [
        str(program),
        "cdi",
        "generate",
        "--mode=nvml",
        "--format=json",
        f"--vendor={names.CDI_VENDOR}",
        f"--class={names.CDI_KIND_BASE.rpartition('/')[2]}",
        "--device-name-strategy=uuid",
        f"--driver-root={roots.driver}",
        f"--dev-root={roots.find_dev()}",
    ]
    # GPU Operator puts both in one folder that is on nobody's PATH.
    return [*command, f"--nvidia-cdi-hook-path={program.parent / _HOOK}"] if has_hook else command


def _last_words(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1][-_MESSAGE_LENGTH:] if lines else "it said nothing"
