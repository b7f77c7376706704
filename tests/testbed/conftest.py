"""Stand-ins for the programs that the test bed starts."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a program of that name in a folder for PATH; it notes its arguments in the file `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def made(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{script}\n')
        program.chmod(0o755)
        return program

    return made
