#!/bin/bash
# pid 1 of a node: puts a root file system together, then supervises containerd and kubelet.
# In the environment: NODE, NODE_ADDRESS, NODE_ROOT, NODE_LOG, PROGRAMS, IMAGES, HIERARCHIES.
set -eu

# The host's root, read-only below a layer in memory: whatever a node or a privileged pod writes outside the
# folders bound below never reaches the host. (overlayfs refuses an upper layer on the file system it covers.)
boot=$NODE_ROOT/boot
mount -t tmpfs -o mode=755 tmpfs "$boot"
mkdir "$boot/upper" "$boot/work" "$boot/root"
mount -t overlay -o "lowerdir=/,upperdir=$boot/upper,workdir=$boot/work" overlay "$boot/root"
cd "$boot/root"

mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/kmsg dev/
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for i in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${i%:*}" "dev/${i#*:}"; done

mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p run/lock run/cdi run/cluster/config run/cluster/programs run/cluster/images
over() { mkdir -p ".$2"; mount --bind "$1" ".$2"; }
over "$NODE_ROOT/kubelet" /var/lib/kubelet
over "$NODE_ROOT/containerd" /var/lib/containerd
over "$NODE_ROOT/opt" /opt
over "$NODE_ROOT/cdi" /etc/cdi
over "$NODE_LOG" /var/log
read_only() { over "$1" "$2"; mount -o remount,bind,ro ".$2"; }
read_only "$NODE_ROOT/config" /run/cluster/config
read_only "$PROGRAMS" /run/cluster/programs
read_only "$IMAGES" /run/cluster/images
mkdir -p etc/cni/net.d
mount -t tmpfs tmpfs etc/cni/net.d
cp run/cluster/config/10-pods.conflist etc/cni/net.d/

mkdir run/host
pivot_root . run/host
umount -l /run/host
rmdir /run/host
hostname "$NODE"

# The node's own view of cgroups: its subtree looks like the root.
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while read -r folder type options; do
  mkdir -p "/sys/fs/cgroup/$folder"
  mount -t "$type" -o "$options" cgroup "/sys/fs/cgroup/$folder"
done <<<"$HIERARCHIES"
# Leave the top group, so that kubelet can make the pods' groups beside ours.
groups=$(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
for group in $groups; do
  mkdir -p "$group/system"
  if [ -e "$group/cpuset.mems" ] && [ ! -e "$group/cgroup.controllers" ]; then
    for f in cpuset.cpus cpuset.mems; do cat "$group/$f" >"$group/system/$f"; done
  fi
  echo 1 >"$group/system/cgroup.procs"
  if [ -s "$group/cgroup.controllers" ]; then
    sed 's/[^ ]*/+&/g' "$group/cgroup.controllers" >"$group/cgroup.subtree_control"
  fi
done

# Kernel settings kubelet insists on: it is shown the values it wants, the host keeps its own.
mkdir -p /run/cluster/sysctl
while read -r key value; do
  echo "$value" >"/run/cluster/sysctl/$key"
  mount --bind "/run/cluster/sysctl/$key" "/proc/sys/${key//.//}"
done <<'T'
vm.overcommit_memory 1
vm.panic_on_oom 0
kernel.panic 10
kernel.panic_on_oops 1
kernel.keys.root_maxkeys 1000000
kernel.keys.root_maxbytes 25000000
T
# The kernel did not boot anew, but this node did.
cp /run/cluster/config/boot_id /run/cluster/boot_id
mount --bind /run/cluster/boot_id /proc/sys/kernel/random/boot_id
mount --make-rshared /

export PATH=/run/cluster/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
config=/run/cluster/config
supervise() {
  while :; do
    "$@" || true
    echo "node: $1 ended and is started again"
    sleep 0.5
  done
}
case $(containerd --version) in
  *" 1."* | *" v1."*) containerd_config=containerd-1.7.toml ;;
  *) containerd_config=containerd.toml ;;
esac
supervise containerd --config "$config/$containerd_config" >>/var/log/containerd.log 2>&1 &
until ctr version >/run/cluster/containerd-version 2>&1; do sleep 0.1; done
import-images() {
  for archive in /run/cluster/images/*.tar; do
    [ -e "$archive" ] || continue
    # Imported images outlive a reboot; an archive that was replaced is imported again.
    mark=/var/lib/containerd/imported/$(basename "$archive").$(stat -c %Y-%s "$archive")
    [ -e "$mark" ] && continue
    ctr -n k8s.io images import --local "$archive"
    mkdir -p "${mark%/*}"
    touch "$mark"
  done
}
import-images
supervise kubelet --config="$config/kubelet.json" --kubeconfig="$config/kubeconfig" --hostname-override="$NODE" \
  --node-ip="$NODE_ADDRESS" --v=2 >>/var/log/kubelet.log 2>&1 &
wait
