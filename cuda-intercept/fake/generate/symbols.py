"""Write the symbol tables of the fake driver from the installed CUDA headers.

The driver exports one symbol per versioned function. `cudaTypedefs.h` says in
which CUDA version each of them came (`PFN_<name>_v<version>`), `cuda.h` how the
symbols are called (`<name>`, `<name>_v2`, ...). The n-th version of a name is
its n-th symbol; a header in which the two do not pair up is an error.

Every symbol becomes a weak stub that answers "not supported"; a function that
is written by hand replaces its stub at link time.
"""

import argparse
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

DECLARATION = re.compile(r"CUresult\s+(cu\w+)\s*\(")
TYPEDEF = re.compile(r"\*\s*PFN_(cu\w+?)_v(\d+)(_ptds|_ptsz)?\)")
ERROR = re.compile(r"(CUDA_SUCCESS|CUDA_ERROR_\w+)\s*=\s*(\d+)")
OLD_CUDA = 11000
NVML_DECLARATION = re.compile(r"nvmlReturn_t\s+DECLDIR\s+(nvml\w+)\s*\(")


class HeaderError(Exception):
    """The headers do not say what this generator relies on."""


@dataclass(frozen=True, order=True)
class Entry:
    """One row of the table that cuGetProcAddress searches."""

    base: str
    per_thread: bool
    version: int
    symbol: str


def preprocess(compiler: Sequence[str], include: Path) -> str:
    """Return cudaTypedefs.h with everything it includes, old versions too."""
    flags = ["-E", "-P", "-D__CUDA_API_VERSION_INTERNAL", f"-I{include}", "-x", "c"]
    command = [*compiler, *flags, str(include / "cudaTypedefs.h")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def symbol_order(symbol: str) -> int:
    """Return the n of a symbol's `_v<n>`, 1 where it has none."""
    match = re.search(r"_v(\d+)(?:_pt[sd][sz])?$", symbol)
    return int(match.group(1)) if match else 1


def pair_versions(source: str) -> list[Entry]:
    """Return the table of a preprocessed header, or raise HeaderError."""
    symbols: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for symbol in DECLARATION.findall(source):
        name, suffix = re.fullmatch(r"(\w+?)(?:_v\d+)?(_ptds|_ptsz)?", symbol).groups("")  # type: ignore[union-attr]
        symbols[name, suffix].add(symbol)
    versions: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for base, version, suffix in TYPEDEF.findall(source):
        versions[base, suffix].add(int(version))
    entries: list[Entry] = []
    for (base, suffix), introduced in versions.items():
        names = sorted(symbols[base, suffix], key=symbol_order)
        if len(names) != len(introduced):
            raise HeaderError(f"{base}{suffix}: versions {sorted(introduced)}, symbols {names}")
        rows = zip(sorted(introduced), names, strict=True)
        entries += [Entry(base, bool(suffix), version, name) for version, name in rows]
    return sorted(entries)


def merge(tables: Iterable[Sequence[Entry]]) -> list[Entry]:
    """Return the union of the tables; the first to name a row wins."""
    merged: dict[tuple[str, bool, int], Entry] = {}
    for table in tables:
        for entry in table:
            merged.setdefault((entry.base, entry.per_thread, entry.version), entry)
    return sorted(merged.values())


def render_cuda(entries: Sequence[Entry]) -> str:
    """Return C with a stub per symbol and the table of all of them."""
    stubs = [
        f"FG_STUB CUresult {symbol}(void)\n{{\n    return CUDA_ERROR_NOT_SUPPORTED;\n}}\n"
        for symbol in sorted({entry.symbol for entry in entries})
    ]
    rows = [
        f'    {{"{entry.base}", {entry.version}, {int(entry.per_thread)}, '
        f'"{entry.symbol}", (void (*)(void)){entry.symbol}}},'
        for entry in entries
    ]
    head = [
        '#include "procaddress.h"',
        "typedef int CUresult;",
        "#define CUDA_ERROR_NOT_SUPPORTED 801",
        '#define FG_STUB __attribute__((weak, visibility("default")))',
        "",
    ]
    table = ["const struct fg_proc fg_procs[] = {", *rows, "};"]
    count = [f"const unsigned fg_proc_count = {len(rows)};", ""]
    return "\n".join([*head, *stubs, *table, *count])


def render_old_map(entries: Sequence[Entry]) -> str:
    """Return a version script with what a driver of OLD_CUDA exported, and no more."""
    names = sorted({entry.symbol for entry in entries if entry.version <= OLD_CUDA})
    return "{\nglobal:\n" + "".join(f"    {name};\n" for name in names) + "local:\n    *;\n};\n"


def render_errors(source: str) -> str:
    """Return C with a table of the CUresult values and their names."""
    names = {int(value): name for name, value in ERROR.findall(source)}
    rows = [f'    {{{value}, "{name}"}},' for value, name in sorted(names.items())]
    head = ['#include "errors.h"', "const struct fg_error_name fg_error_names[] = {"]
    tail = ["};", f"const unsigned fg_error_name_count = {len(rows)};", ""]
    return "\n".join([*head, *rows, *tail])


def render_nvml(header: str) -> str:
    """Return C with a stub per function that nvml.h declares."""
    names = sorted(set(NVML_DECLARATION.findall(header)))
    if not names:
        raise HeaderError("nvml.h declares no function")
    head = '#define FG_STUB __attribute__((weak, visibility("default")))\n'
    return head + "".join(
        f"FG_STUB int {name}(void)\n{{\n    return 3; /* NVML_ERROR_NOT_SUPPORTED */\n}}\n" for name in names
    )


def main() -> None:
    """Write cuda_symbols.c, cuda_errors.c, nvml_symbols.c and cuda_old.map into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuda-include", type=Path, action="append", required=True)
    parser.add_argument("--compiler", required=True, help="C compiler, words split at ';'")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    compiler = str(arguments.compiler).split(";")
    sources = [preprocess(compiler, include) for include in arguments.cuda_include]
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    entries = merge(map(pair_versions, sources))
    (out / "cuda_symbols.c").write_text(render_cuda(entries))
    (out / "cuda_old.map").write_text(render_old_map(entries))
    (out / "cuda_errors.c").write_text(render_errors(sources[0]))
    nvml = (arguments.cuda_include[0] / "nvml.h").read_text()
    (out / "nvml_symbols.c").write_text(render_nvml(nvml))


if __name__ == "__main__":
    main()
