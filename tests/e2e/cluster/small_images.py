"""The two images every node has: the pods' sandbox, and a static busybox for tests; made without any tool."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from cluster.archive import Image, Link, write_archive
from cluster.cache import filled, key_of
from cluster.processes import run
from cluster.settings import Settings

PAUSE, BUSYBOX = "localhost/pause:1", "localhost/busybox:1"

_PAUSE_SOURCE = Path(__file__).resolve().parent / "files" / "pause.c"
BUSYBOX_PROGRAM = Path("/bin/busybox")
_PASSWD = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"


def small_images(settings: Settings) -> list[Path]:
    """The archives of both images, from the cache."""
    return [pause(settings), busybox(settings)]


def pause(settings: Settings) -> Path:
    return _cached("pause", _PAUSE_SOURCE, pause_image, settings)


def busybox(settings: Settings) -> Path:
    return _cached("busybox", BUSYBOX_PROGRAM, busybox_image, settings)


def _cached(name: str, source: Path, make: Callable[[], Image], settings: Settings) -> Path:
    folder = settings.cache_root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    ours = [Path(__file__).read_bytes(), (Path(__file__).parent / "archive.py").read_bytes()]
    key = key_of([*ours, source.read_bytes()])
    return filled(folder / f"{name}-{key}.tar", lambda path: write_archive(path, make()))


def pause_image() -> Image:
    """The sandbox: one static program."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pause"
        run(["gcc", "-Os", "-static", "-s", "-Wall", "-Werror", "-o", program, _PAUSE_SOURCE])
        return Image(PAUSE, {"pause": program.read_bytes()}, ["/pause"])


def busybox_image() -> Image:
    """A shell and its tools in one static program, and the folders that containers expect."""
    tools = run([BUSYBOX_PROGRAM, "--list"]).split()
    links: dict[str, bytes | Link] = {f"bin/{tool}": Link("busybox") for tool in tools if tool != "busybox"}
    files = {"bin/busybox": BUSYBOX_PROGRAM.read_bytes(), "etc/passwd": _PASSWD, "etc/group": b"root:x:0:\n"}
    folders = {"tmp": 0o1777, "dev": 0o755, "proc": 0o755, "sys": 0o755, "run": 0o755, "var/tmp": 0o1777}
    return Image(BUSYBOX, {**links, **files}, ["sh"], folders)
