"""Where the files of kind's own Go module lie: in the module cache, and never in the repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster.errors import BuildError
from cluster.programs import KIND
from cluster.settings import Settings, inherited_environment
from cluster.toolchain import find_go, version_wanted

_MODULE = "sigs.k8s.io/kind"
_IMAGE_FILES = Path("images/base/files")


def image_files(settings: Settings) -> Path:
    """What kind puts into its node image, of the version that our go.mod names; fetched where it is missing."""
    sources = KIND.source_files()
    go = find_go(version_wanted(sources["go.mod"].read_text()), settings.cache_root)
    with tempfile.TemporaryDirectory(prefix="hami-dra-build-") as folder:
        for name, source in sources.items():
            shutil.copyfile(source, Path(folder) / name)
        argv = [str(go), "mod", "download", "-json", _MODULE]
        environment = inherited_environment(GOFLAGS="", GOTOOLCHAIN="local")
        done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"go mod download {_MODULE}: {done.stderr or done.stdout}")
    return Path(json.loads(done.stdout)["Dir"]) / _IMAGE_FILES
