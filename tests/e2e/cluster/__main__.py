"""python -m cluster: local Kubernetes clusters in network namespaces, no Docker needed.

Progress goes to stderr, answers to stdout.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster import image_build, packages
from cluster.api import Cluster
from cluster.build import program_folder
from cluster.control_plane import COMPONENTS
from cluster.errors import ClusterError, UsageError
from cluster.progress import say
from cluster.settings import KUBE_VERSIONS, read_settings

_Arguments = argparse.Namespace
_EPILOG = (
    f"Environment: KUBE_VERSION ({' or '.join(KUBE_VERSIONS)}), CLUSTER_STATE (folder of all clusters), "
    "XDG_CACHE_HOME (programs and images are cached in its folder hami-dra)."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0, 1 when it failed, 2 when it was asked for wrongly."""
    arguments = make_parser().parse_args(argv)
    command: Callable[[_Arguments], None] = arguments.command
    try:
        command(arguments)
    except UsageError as error:
        say(f"cluster: {error}")
        return 2
    except ClusterError as error:
        say(f"cluster: {error}")
        return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[_Arguments], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    def add_for_cluster(name: str, command: Callable[[_Arguments], None], text: str) -> argparse.ArgumentParser:
        sub = add(name, command, text)
        sub.add_argument("--name", default="demo", help="the cluster (default: %(default)s)")
        return sub

    _add_host_commands(add)
    _add_cluster_commands(add_for_cluster)
    _add_fault_commands(add_for_cluster)
    return parser


_Add = Callable[[str, Callable[[_Arguments], None], str], argparse.ArgumentParser]


def _add_host_commands(add: _Add) -> None:
    add("packages", lambda _: packages.install_missing(), "install the Debian packages that are missing")
    add("programs", _programs, "build the programs and print their folder")
    build = add("build-image", _build_image, "build an image from a Dockerfile without Docker; prints the archive")
    build.add_argument("--dockerfile", type=Path, required=True)
    build.add_argument("--context", type=Path, default=Path(), help="default: the current folder")
    build.add_argument("--tag", required=True, help="such as localhost/hami-dra/driver:dev")
    build.add_argument("--output", type=Path, help="where to put the archive too; default: only in the cache")
    build.add_argument("--inputs", nargs="*", default=[], help="what the Dockerfile copies, below the context")
    build.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")


def _add_cluster_commands(add: _Add) -> None:
    up = add("up", _up, "have a cluster run, every node Ready")
    up.add_argument("--nodes", default="node-a,node-b", help="names, separated by commas (default: %(default)s)")
    up.add_argument("--image", type=Path, action="append", default=[], help="an archive every node imports")
    down = add("down", _down, "remove every trace of a cluster")
    down.add_argument("--keep-logs", action="store_true")
    add("status", _status, "what runs, and where its log is")
    logs = add("logs", _logs, "print a component's log, or the paths of all logs")
    logs.add_argument("component", nargs="?", help="such as kube-scheduler or node-a/kubelet")
    logs.add_argument("--follow", "-f", action="store_true")
    add("exec-env", _exec_env, "print shell lines that set KUBECONFIG and PATH")
    load = add("load-image", _load_image, "import an image archive on all nodes")
    load.add_argument("archive", type=Path)
    run = add("node-exec", _node_exec, "run a command inside a node")
    run.add_argument("node")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")


def _add_fault_commands(add: _Add) -> None:
    kill = add("kill", _kill, "kill -9 a component; it is started again")
    kill.add_argument("target", help=f"NODE/PROCESS or one of {', '.join(COMPONENTS)}")
    kill.add_argument("--no-restart", action="store_true", help="leave it down (control plane only)")
    start = add("start", lambda a: Cluster(a.name).start_component(a.component), "start a component that was killed")
    start.add_argument("component", choices=COMPONENTS)
    for name, method, text in (
        ("add-node", Cluster.add_node, "add a node, or boot one that was stopped"),
        ("stop-node", Cluster.stop_node, "cut a node's power; add-node boots it again"),
        ("reboot", Cluster.reboot, "cut a node's power and boot it: /run is fresh, the disk stays"),
        ("destroy-node", Cluster.destroy_node, "lose a node with its disk; its Node object stays"),
    ):
        sub = add(name, lambda a, method=method: method(Cluster(a.name), a.node), text)  # type: ignore[misc]
        sub.add_argument("node")


def _programs(_: _Arguments) -> None:
    print(program_folder(read_settings()))


def _build_image(arguments: _Arguments) -> None:
    request = image_build.ImageRequest(
        dockerfile=arguments.dockerfile,
        context=arguments.context,
        tag=arguments.tag,
        inputs=tuple(arguments.inputs),
        build_args=tuple(arguments.build_arg),
    )
    print(image_build.build_image(request, read_settings(), arguments.output))


def _up(arguments: _Arguments) -> None:
    cluster = Cluster(arguments.name)
    cluster.up([node for node in arguments.nodes.split(",") if node], arguments.image)
    _exec_env(arguments)


def _down(arguments: _Arguments) -> None:
    Cluster(arguments.name).down(keep_logs=arguments.keep_logs)


def _status(arguments: _Arguments) -> None:
    cluster = Cluster(arguments.name)
    states = cluster.status()
    width = max(map(len, states))
    for part, state in states.items():
        print(f"{part:{width}}  {state:20}  {cluster.log_of(part)}")


def _logs(arguments: _Arguments) -> None:
    cluster = Cluster(arguments.name)
    if arguments.component is None:
        print("\n".join(str(path) for path in sorted(cluster.layout.logs.glob("**/*.log"))))
        return
    log = cluster.layout.log(arguments.component)
    if not log.exists():
        raise UsageError(f"no log {log}; `logs` without a name lists what is there")
    subprocess.run(["tail", "-n", "+1", *(["-f"] if arguments.follow else []), log], check=False)


def _exec_env(arguments: _Arguments) -> None:
    cluster = Cluster(arguments.name)
    print(f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")
    print(f"export PATH={shlex.quote(str(cluster.programs))}:$PATH")


def _load_image(arguments: _Arguments) -> None:
    Cluster(arguments.name).load_image(arguments.archive)


def _node_exec(arguments: _Arguments) -> None:
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    result = Cluster(arguments.name).node_exec(arguments.node, words, check=False)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    sys.exit(result.returncode)


def _kill(arguments: _Arguments) -> None:
    cluster = Cluster(arguments.name)
    node, _, process = arguments.target.partition("/")
    if process:
        cluster.kill_process_in_node(node, process)
    else:
        cluster.kill_component(arguments.target, restart=not arguments.no_restart)


if __name__ == "__main__":
    sys.exit(main())
