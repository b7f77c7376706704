"""Reads the exported functions of the driver and of NVML out of NVIDIA's headers.

The C preprocessor is asked to show every versioned name
(`__CUDA_API_VERSION_INTERNAL`), since that is the list of what the library
exports; versions come from the typedefs of cudaTypedefs.h.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from errors import HeaderError

_FUNCTION = re.compile(r"(?:CUresult|nvmlReturn_t)\s+((?:cu|nvml)[A-Z]\w*)\s*\(([^;{}]*?)\)\s*;")
_TYPEDEF = re.compile(r"typedef\s+CUresult\s*\(\s*\*\s*PFN_(cu\w+?)_v(\d+)(_ptsz|_ptds)?\s*\)\s*\(([^;]*?)\)\s*;")
_SUFFIX = re.compile(r"^(?P<base>\w+?)(?:_v(?P<generation>\d+))?(?P<stream>_ptsz|_ptds)?$")
_TYPE_WORDS = frozenset({"int", "long", "char", "short", "float", "double", "unsigned", "void"})


@dataclass(frozen=True)
class Parameter:
    """One parameter: its C type and its name (made up where the header has none)."""

    type: str
    name: str


@dataclass(frozen=True)
class Function:
    """One exported symbol; `version` is the CUDA version it appeared in, 0 where unknown."""

    symbol: str
    base: str
    version: int
    stream: str
    parameters: tuple[Parameter, ...]


def read_cuda(include: Path, compiler: str) -> dict[str, Function]:
    """Every symbol that the driver of this header generation exports, by symbol."""
    declarations = _preprocess(include / "cuda.h", compiler)
    typedefs = _preprocess(include / "cudaTypedefs.h", compiler)
    versions: dict[tuple[str, str], set[int]] = defaultdict(set)
    for base, version, stream, _ in _TYPEDEF.findall(typedefs):
        versions[base, stream].add(int(version))
    symbols = {name: _parameters(text) for name, text in _FUNCTION.findall(declarations)}
    return _with_versions(symbols, versions)


def read_nvml(header: Path, compiler: str) -> dict[str, Function]:
    """Every symbol that NVML of this header exports, by symbol; NVML has no versions to ask for."""
    text = _preprocess(header, compiler)
    return {name: Function(name, name, 0, "", _parameters(arguments)) for name, arguments in _FUNCTION.findall(text)}


def _preprocess(header: Path, compiler: str) -> str:
    if not header.is_file():
        raise HeaderError(f"{header}: no such header")
    command = [compiler, "-E", "-P", "-x", "c", "-D__CUDA_API_VERSION_INTERNAL", "-DNVML_NO_UNVERSIONED_FUNC_DEFS"]
    done = subprocess.run([*command, f"-I{header.parent}", str(header)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HeaderError(f"{header}: {compiler} -E failed: {done.stderr.strip()[-400:]}")
    return re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", done.stdout)


def _with_versions(
    symbols: dict[str, tuple[Parameter, ...]], versions: dict[tuple[str, str], set[int]]
) -> dict[str, Function]:
    # The n-th version of a name is its n-th symbol (cuMemAlloc 2000, cuMemAlloc_v2 3020).
    # Where the counts differ the header does not say which is which: version 0.
    families: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for symbol in symbols:
        match = _SUFFIX.match(symbol)
        if match is None:
            raise HeaderError(f"{symbol}: not a name that the parser understands")
        generation = int(match["generation"] or 1)
        families[match["base"], match["stream"] or ""].append((generation, symbol))
    found = {}
    for (base, stream), members in families.items():
        known = sorted(versions.get((base, stream), set()))
        ordered = [symbol for _, symbol in sorted(members)]
        if len(known) != len(ordered):
            known = [0] * len(ordered)
        for symbol, version in zip(ordered, known, strict=True):
            found[symbol] = Function(symbol, base, version, stream.lstrip("_"), symbols[symbol])
    return found


def _parameters(text: str) -> tuple[Parameter, ...]:
    text = " ".join(text.split())
    if text in ("", "void"):
        return ()
    return tuple(_parameter(part.strip(), index) for index, part in enumerate(text.split(",")))


def _parameter(text: str, index: int) -> Parameter:
    text, _, array = text.partition("[")
    match = re.match(r"^(.*?)(\w+)\s*$", text)
    if match is None or not match[1].strip() or match[2] in _TYPE_WORDS:
        spelled, name = text, f"argument{index}"
    else:
        spelled, name = match[1], match[2]
    spelled = re.sub(r"\s*\*\s*", "*", " ".join(spelled.split())).replace("*", " *", 1).replace("* ", "*")
    return Parameter(spelled + (" *" if array else ""), name)
