"""Lay out the fake driver as a driver root, and describe it as nvidia-ctk would.

The root looks like the root of a machine with an NVIDIA driver: libraries,
nvidia-smi, device nodes. The CDI spec gives containers the same. Running it
again changes nothing but what is out of date; a running cluster may look on.
"""

import argparse
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu"
PROFILE = "etc/fake-gpu/profile"
STATE = "var/lib/fake-gpu/state"
STATE_AS_SOCKET = "run/nvidia-persistenced/socket"
STATE_BYTES = 16 << 20  # sparse; FG_STATE_BYTES in device/state.h
SPEC_NAME = "k8s.gpu.hami.io-base.json"
SPEC_KIND = "k8s.gpu.hami.io/base"
FIRST_CAPABILITY = 3
GPU_INSTANCES = 15
COMPUTE_INSTANCES = 8
NULL_DEVICE = os.makedev(1, 3)


class InstallError(Exception):
    """The root cannot be laid out as asked."""


@dataclass(frozen=True)
class Gpu:
    """What the installer needs to know of a GPU in a profile."""

    minor: int
    uuid: str
    is_split: bool = False


@dataclass(frozen=True)
class Instance:
    """The same of a MIG instance; it is there while its capabilities' nodes are."""

    minor: int
    uuid: str
    gpu_instance: int
    compute_instance: int

    @property
    def capabilities(self) -> list[str]:
        """The nodes of both its parts, numbered as the real driver does."""
        first = FIRST_CAPABILITY + (self.minor * GPU_INSTANCES + self.gpu_instance) * (1 + COMPUTE_INSTANCES)
        return [f"nvidia-caps/nvidia-cap{number}" for number in (first, first + 1 + self.compute_instance)]


def find_profile(name: str) -> Path:
    """Return the profile file of that path, or else of that name."""
    for path in (Path(name), Path(__file__).parent / "profiles" / name):
        if path.is_file():
            return path
    raise InstallError(f"profile {name!r}: neither a file nor one of {profile_names()}")


def profile_names() -> list[str]:
    """Return the names of the profiles that come with the fake driver."""
    return sorted(path.name for path in (Path(__file__).parent / "profiles").iterdir())


def salt_uuid(uuid: str, salt: str) -> str:
    """Return a UUID that depends on both, of the form that NVML has: GPU-… or MIG-…."""
    digest = hashlib.sha256(f"{salt}/{uuid}".encode()).hexdigest()
    groups = [digest[:8], digest[8:12], "4" + digest[13:16], "8" + digest[17:20], digest[20:32]]
    return uuid[:4] + "-".join(groups)


def salt_profile(text: str, salt: str | None) -> str:
    """Return the profile with every UUID made this node's own."""
    if not salt:
        return text
    pattern = r"^(\s*uuid\s+|\s*mig\s+\S+\s+\d+\s+\d+\s+)(\S+)"
    return re.sub(pattern, lambda found: found[1] + salt_uuid(found[2], salt), text, flags=re.M)


def parse_gpus(text: str) -> list[Gpu]:
    """Return the GPUs of a profile, or raise InstallError."""
    minors = re.findall(r"^\s*gpu\s+(\d+)", text, flags=re.M)
    uuids = re.findall(r"^\s*uuid\s+(\S+)", text, flags=re.M)
    if not minors or len(minors) != len(uuids):
        raise InstallError(f"the profile has {len(minors)} GPUs and {len(uuids)} UUIDs")
    _, *blocks = re.split(r"^\s*gpu\s", text, flags=re.M)
    split = [bool(re.search(r"^\s*mig_mode\s+1\b", block, flags=re.M)) for block in blocks]
    return [Gpu(int(minor), uuid, mode) for minor, uuid, mode in zip(minors, uuids, split, strict=True)]


def parse_instances(text: str) -> list[Instance]:
    """Return the MIG instances of a profile."""
    found, minor = [], 0
    for line in text.splitlines():
        match line.split("#")[0].split():
            case ["gpu", number]:
                minor = int(number)
            case ["mig", _, gpu_instance, compute_instance, uuid, _, _]:
                found.append(Instance(minor, uuid, int(gpu_instance), int(compute_instance)))
    return found


def parse_version(text: str) -> str:
    """Return the driver's version that a profile names, or raise InstallError."""
    found = re.search(r"^\s*driver\s+([0-9.]+)", text, flags=re.M)
    if not found:
        raise InstallError("the profile has no driver version")
    return found[1]


def put(path: Path, content: bytes, mode: int) -> None:
    """Make the file have that content and mode, replacing it in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        path.chmod(mode)
        return
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def put_link(path: Path, target: str) -> None:
    """Make the path a symbolic link to the target, in one step."""
    if path.is_symlink() and str(path.readlink()) == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def put_device(path: Path) -> None:
    """Make the path a device node that behaves as /dev/null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == NULL_DEVICE:
            path.chmod(0o666)
            return
        path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o666, NULL_DEVICE)
    path.chmod(0o666)


def put_state(path: Path) -> None:
    """Make sure that there is a state file of full size, and keep one that is there.

    Processes that run have it mapped: it is never replaced or cut. Zeros are a
    valid state, also for a reader that could not set up anything.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(0o666)
    if path.stat().st_size < STATE_BYTES:
        os.truncate(path, STATE_BYTES)


def remove_devices(folder: Path, keep: Sequence[str]) -> None:
    """Remove the device nodes of GPUs and MIG instances that the profile does not have."""
    for path in (*folder.glob("nvidia[0-9]*"), *folder.glob("nvidia-caps/*")):
        if str(path.relative_to(folder)) not in keep:
            path.unlink()


def lay_out(root: Path, build: Path, profile: str) -> None:
    """Write everything that the root holds but its device nodes."""
    libraries = root / LIBRARY_FOLDER
    version = parse_version(profile)
    for name in ("libcuda.so", "libnvidia-ml.so"):
        put(libraries / f"{name}.{version}", (build / f"{name}.1").read_bytes(), 0o755)
        put_link(libraries / f"{name}.1", f"{name}.{version}")
    put_link(libraries / "libcuda.so", "libcuda.so.1")
    put(root / "usr/bin/nvidia-smi", (build / "nvidia-smi").read_bytes(), 0o755)
    put(root / PROFILE, profile.encode(), 0o644)
    put_state(root / STATE)
    # nvidia-ctk describes files that a driver has; by these the two above get into its containers.
    put_link(root / f"lib/firmware/nvidia/{version}/gsp_fake.bin", f"../../../../{PROFILE}")
    put_link(root / STATE_AS_SOCKET, f"../../{STATE}")


def lay_out_devices(root: Path, gpus: Sequence[Gpu], instances: Sequence[Instance] = ()) -> None:
    """Make the device nodes, which takes root's rights."""
    put_device(root / "dev/nvidiactl")
    nodes = [f"nvidia{gpu.minor}" for gpu in gpus]
    nodes += [name for instance in instances for name in instance.capabilities]
    for name in nodes:
        put_device(root / "dev" / name)
    remove_devices(root / "dev", nodes)


def describe(host_root: str, gpus: Sequence[Gpu], instances: Sequence[Instance] = ()) -> dict[str, object]:
    """Return the CDI spec: a device per GPU or, of a split one, per MIG instance, and one with all of them."""

    def node(name: str) -> dict[str, object]:
        return {"path": f"/dev/{name}", "hostPath": f"{host_root}/dev/{name}", "type": "c", "permissions": "rw"}

    def mount(path: str, *options: str) -> dict[str, object]:
        return {"hostPath": f"{host_root}/{path}", "containerPath": f"/{path}", "options": [*options, "nosuid", "bind"]}

    names = {gpu.uuid: [f"nvidia{gpu.minor}"] for gpu in gpus if not gpu.is_split}
    names |= {instance.uuid: [f"nvidia{instance.minor}", *instance.capabilities] for instance in instances}
    names["all"] = list(dict.fromkeys(name for found in names.values() for name in found))
    devices = [
        {"name": uuid, "containerEdits": {"deviceNodes": [node(name) for name in found]}}
        for uuid, found in names.items()
    ]
    read_only = [
        f"{LIBRARY_FOLDER}/libcuda.so.1",
        f"{LIBRARY_FOLDER}/libnvidia-ml.so.1",
        "usr/bin/nvidia-smi",
        PROFILE,
    ]
    mounts = [*(mount(path, "ro", "nodev") for path in read_only), mount(STATE, "rw", "nodev")]
    return {
        "cdiVersion": "0.6.0",
        "kind": SPEC_KIND,
        "devices": devices,
        "containerEdits": {"deviceNodes": [node("nvidiactl")], "mounts": mounts},
    }


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", required=True, help=f"a file, or one of {', '.join(profile_names())}")
    parser.add_argument("--salt", help="makes the UUIDs this node's own")
    parser.add_argument("--build", type=Path, required=True, help="where the fake driver was built")
    parser.add_argument("--root", type=Path, required=True, help="the driver root to lay out")
    parser.add_argument("--host-root", help="where the node sees the driver root (default: --root)")
    parser.add_argument("--cdi-dir", type=Path, help="where to write the CDI spec (default: none is written)")
    parser.add_argument("--no-devices", dest="devices", action="store_false", help="leave out the device nodes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install as the command line says; return an exit status."""
    options = parse_arguments(arguments)
    try:
        profile = salt_profile(find_profile(options.profile).read_text(), options.salt)
        gpus, instances = parse_gpus(profile), parse_instances(profile)
        lay_out(options.root, options.build, profile)
        if options.devices:
            lay_out_devices(options.root, gpus, instances)
        if options.cdi_dir:
            spec = describe((options.host_root or str(options.root.resolve())).rstrip("/"), gpus, instances)
            put(options.cdi_dir / SPEC_NAME, (json.dumps(spec, indent=2) + "\n").encode(), 0o644)
    except (InstallError, OSError) as error:
        print(f"install.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
