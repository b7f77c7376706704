"""Regenerates tables and glue: `python cuda-intercept/generate --cuda12 DIR --cuda13 DIR --nvml FILE`.

With `--check` nothing is written; it fails when a committed file differs, or
when a symbol of the headers is not classified or has vanished from them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import document
import glue
import headers
import tables
from errors import DriftError, GenerateError

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "src" / "generated"
DOCUMENT = HERE.parents[1] / "docs" / "driver-symbols.md"
TITLES = {"CUDA": "CUDA driver (libcuda.so.1)", "NVML": "NVML (libnvidia-ml.so.1)"}


def build_outputs(cuda12: Path, cuda13: Path, nvml: Path, compiler: str) -> dict[Path, str]:
    """Every output file's path and text."""
    generations = {"12": headers.read_cuda(cuda12, compiler), "13": headers.read_cuda(cuda13, compiler)}
    libraries = {
        "CUDA": ("cuda", tables.merge(generations)),
        "NVML": ("nvml", tables.merge({"13": headers.read_nvml(nvml, compiler)})),
    }
    outputs: dict[Path, str] = {}
    symbols: list[glue.Symbol] = []
    documented: dict[str, tuple[dict[str, tables.Row], dict[str, tables.Classified]]] = {}
    for library, (name, rows) in libraries.items():
        path = HERE / "classes" / f"{name}.tsv"
        classes = tables.read_classes(path)
        tables.check_complete(rows, classes, path)
        outputs[HERE / "tables" / f"{name}.tsv"] = tables.table_text(rows)
        symbols += glue.select(library, rows, classes)
        documented[TITLES[library]] = (rows, classes)
    symbols.sort(key=lambda symbol: symbol.function.symbol)
    outputs[DOCUMENT] = document.document_text(documented)
    outputs[OUTPUT / "hooks.h"] = glue.header_text(symbols)
    outputs[OUTPUT / "hook_table.c"] = glue.table_text(symbols)
    outputs[OUTPUT / "gates.c"] = glue.gates_text(symbols)
    outputs[OUTPUT / "exports.map"] = glue.exports_text(symbols)
    return outputs


def check(outputs: dict[Path, str]) -> None:
    """Raises DriftError naming each committed file that differs from what would be written."""
    differing = [str(path) for path, text in outputs.items() if not path.is_file() or path.read_text() != text]
    if differing:
        raise DriftError(f"regenerate: {', '.join(differing)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuda12", type=Path, required=True, help="folder of cuda.h, CUDA 12")
    parser.add_argument("--cuda13", type=Path, required=True, help="folder of cuda.h, CUDA 13")
    parser.add_argument("--nvml", type=Path, required=True, help="path of nvml.h")
    parser.add_argument("--compiler", default="cc", help="C compiler whose preprocessor is used")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args()
    try:
        outputs = build_outputs(arguments.cuda12, arguments.cuda13, arguments.nvml, arguments.compiler)
        if arguments.check:
            check(outputs)
            return 0
    except GenerateError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    for path, text in outputs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
