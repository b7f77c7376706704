#!/bin/bash
# pid 1 of the engine's namespaces: what dockerd writes outside its folder goes to copies, not to the host.
# ENGINE: the engine's folder.
set -eu
cover() { # a folder of the host, with a writable copy over it
  mkdir -p "$ENGINE/cover$1/"{upper,work}
  mount -t overlay -o "lowerdir=$1,upperdir=$ENGINE/cover$1/upper,workdir=$ENGINE/cover$1/work" overlay "$1"
}

mount -t proc proc /proc
ip link set lo up
hostname kind-engine

# dockerd keeps a key in /etc/docker. Files that are mounts of their own would vanish below the copy.
mkdir -p "$ENGINE/cover/etc/upper"
for name in resolv.conf hosts hostname; do
  [ ! -e "/etc/$name" ] || cp -L "/etc/$name" "$ENGINE/cover/etc/upper/$name"
done
cover /etc
# kind mounts /lib/modules into its nodes, and docker would make it where it is missing.
if [ ! -d /lib/modules ]; then
  cover "$(realpath /lib)"
  mkdir -p /lib/modules
fi
# Sockets of containers' shims, locks of iptables, dockerd's own state.
mount -t tmpfs -o mode=755 tmpfs /run

rm -f "$ENGINE/docker.sock"
dockerd --config-file "$ENGINE/daemon.json" &
wait
