"""Looks at the released library: what it needs from the system, and what it exports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

NEWEST_GLIBC = (2, 17)
POINTER_BYTES = "8"
ALLOWED_LIBRARIES = {"libc.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def read_elf(library: Path, *options: str) -> str:
    return subprocess.run(["readelf", "-W", *options, str(library)], capture_output=True, text=True, check=True).stdout


def find_problems(library: Path, exports: Path) -> list[str]:
    """Each way in which the library is not what it must be."""
    symbols = read_elf(library, "--dyn-syms")
    problems = [
        f"needs GLIBC_{version}, newer than {'.'.join(map(str, NEWEST_GLIBC))}"
        for version in sorted(set(re.findall(r"GLIBC_([\d.]+)", symbols)))
        if tuple(map(int, version.split("."))) > NEWEST_GLIBC
    ]
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", read_elf(library, "-d")))
    problems += [f"needs {name}" for name in sorted(needed - ALLOWED_LIBRARIES)]
    defined = {
        fields[7]
        for fields in map(str.split, symbols.splitlines())
        if len(fields) == 8 and fields[4] == "GLOBAL" and fields[6] != "UND" and fields[0][:-1].isdigit()
    }
    wanted = set(re.findall(r"^    (\w+);$", exports.read_text(), re.MULTILINE))
    problems += [f"exports {name}" for name in sorted(defined - wanted)]
    problems += [f"does not export {name}" for name in sorted(wanted - defined)]
    if re.findall(r"\(INIT_ARRAYSZ\) +(\d+)", read_elf(library, "-d")) != [POINTER_BYTES]:
        problems.append("has not the one constructor alone, which every process of a container runs")
    return problems


def main() -> int:
    problems = find_problems(Path(sys.argv[1]), Path(sys.argv[2]))
    for problem in problems:
        print(f"{sys.argv[1]}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
