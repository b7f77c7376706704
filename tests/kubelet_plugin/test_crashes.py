"""Killed before any single file operation of prepare and unprepare: the next process ends where it should."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from plugin_objects import Node, Process, claim, result, share_id, start

from hami_dra.kubelet_plugin.entries import State

OPERATIONS = frozenset(
    (
        "open",
        "os.rename",
        "os.link",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.chmod",
        "os.truncate",
        "os.utime",
        "fcntl.flock",
    )
)


class Killed(BaseException):
    """The process ended here."""


class Axe:
    """Counts file operations of this thread's tests and falls before one of them."""

    def __init__(self) -> None:
        self.counted = 0
        self.falls_at = 0
        self.active = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """One event of the interpreter."""
        if not self.active or event not in OPERATIONS:
            return
        self.counted += 1
        if self.counted == self.falls_at:
            self.active = False
            raise Killed

    @contextmanager
    def swung(self, falls_at: int) -> Iterator[None]:
        """Fall before the operation with that number; 0 only counts."""
        self.counted, self.falls_at, self.active = 0, falls_at, True
        try:
            yield
        finally:
            self.active = False


@pytest.fixture(scope="session")
def axe() -> Axe:
    """The one of the process: an audit hook cannot be taken away."""
    made = Axe()
    sys.addaudithook(made)
    return made


def two_shares() -> Any:
    """A claim with two shares."""
    return claim(results=[result(share=1), result(number=1, share=2)])


def prepare(process: Process) -> object:
    """Prepare it."""
    return process.prepare(two_shares())


def unprepare(process: Process) -> object:
    """Take it back."""
    return process.unprepare("claim-1")


def ends_prepared(node: Node) -> None:
    """The next process, asked again, has everything."""
    entry = start(node).prepare(two_shares())
    assert entry.state is State.COMPLETED
    assert start(node).entries() == (entry,)
    assert {path.parent.name for path in node.paths.shares_dir.rglob("usage")} == {share_id(1), share_id(2)}
    assert {path.stat().st_size for path in node.paths.shares_dir.rglob("usage")} == {266240}
    assert [path.suffix for path in node.paths.cdi_dir.iterdir() if not path.name.startswith(".")] == [".json"]


def ends_empty(node: Node) -> None:
    """The next process, asked to unprepare, leaves nothing."""
    start(node).unprepare("claim-1")
    assert {name for name in node.files() if not name.endswith(".tmp")} == set()
    assert start(node).entries() == ()


@pytest.mark.parametrize("end", [ends_prepared, ends_empty])
@pytest.mark.parametrize("action", [prepare, unprepare])
def test_a_kill_before_any_file_operation_is_mended(
    axe: Axe, tmp_path: Path, action: Callable[[Process], object], end: Callable[[Node], None]
) -> None:
    """Every point of death is tried in turn, on a node of its own."""
    at, finished = 0, False
    while not finished:
        at += 1
        root = tmp_path / str(at)
        root.mkdir()
        node = Node(root)
        process = start(node)
        if action is unprepare:
            prepare(process)
        with axe.swung(at):
            try:
                action(process)
                finished = True
            except Killed:
                pass
        end(node)
    assert at > 10


def damaged(node: Node) -> None:
    """The disk lost what one claim's file said."""
    (node.paths.claims_dir / "claim-1").write_bytes(b"garbage")


def older(node: Node) -> None:
    """An older version ran in between, and the disk lost what it wrote; its claims have no file of their own."""
    shutil.rmtree(node.paths.claims_dir)
    node.checkpoint().save({})
    node.paths.checkpoint.write_bytes(b"garbage")


def rebooted(node: Node) -> None:
    """All that lies in memory is gone."""
    shutil.rmtree(node.paths.run_dir)
    shutil.rmtree(node.paths.cdi_dir)


@pytest.mark.parametrize("befall", [damaged, older, Node.lose_checkpoint, rebooted])
def test_a_kill_within_a_start_loses_no_claim(axe: Axe, tmp_path: Path, befall: Callable[[Node], None]) -> None:
    """What was pieced together is safe before what it was pieced together for is gone."""
    at, finished = 0, False
    while not finished:
        at += 1
        root = tmp_path / str(at)
        root.mkdir()
        node = Node(root)
        process = start(node)
        prepare(process)
        process.prepare(claim("other", [result(share=3)]))
        files = node.files()
        befall(node)
        with axe.swung(at):
            try:
                start(node, boot="boot-2")
                finished = True
            except Killed:
                pass
        process = start(node, boot="boot-2")
        assert [(entry.claim.uid, len(entry.shares)) for entry in process.entries()] == [("claim-1", 2), ("other", 1)]
        assert files <= node.files()
    assert at > 10
