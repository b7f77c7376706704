"""The cache outside the checkout: folders and files that are whole or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_KEY_LENGTH = 12


def key_of(parts: Iterable[bytes]) -> str:
    """A short key of some inputs; where one part ends and the next begins counts too."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:_KEY_LENGTH]


def tree_parts(root: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Name, mode and content of each file named, or below a folder named, in an order that does not change."""
    for name in sorted(names):
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(root)).encode()
                yield oct(path.stat().st_mode & 0o777).encode()
                yield path.read_bytes()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: one process at a time, let go when the process ends however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def filled(path: Path, fill: Callable[[Path], None]) -> Path:
    """`path`, made by `fill` if it is not there; a half-made one is never seen.

    `fill` gets a path beside it to write a file or a folder to.
    """
    if path.exists():
        return path
    with locked(path.parent / f".{path.name}.lock"):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as scratch:
                made = Path(scratch) / path.name
                fill(made)
                made.rename(path)
    return path


def copy_or_link(source: Path, target: Path) -> None:
    """Have the file at `target` too: a hard link where both are on one file system. Replaces what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, new)
    new.rename(target)
