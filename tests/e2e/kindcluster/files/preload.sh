#!/bin/bash
# Imports the component images into the containerd of a node's root file system: `preload.sh ROOT ARCHIVE`, in mount
# and pid namespaces of its own.
set -eu
root=$1 archive=$2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in run tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
touch "$root/tmp/images.tar"
mount --bind "$archive" "$root/tmp/images.tar"

chroot "$root" containerd --log-level warn &
for _ in $(seq 300); do
  chroot "$root" ctr version >/dev/null 2>&1 && break
  sleep 0.1
done
images() { chroot "$root" ctr -n k8s.io "$@"; }
# Pinned images are never collected by kubelet. Their layers are needed unpacked only.
images images import --local --digests --discard-unpacked-layers --label io.cri-containerd.pinned=pinned /tmp/images.tar
images content prune references
kill %1
wait %1 || true
