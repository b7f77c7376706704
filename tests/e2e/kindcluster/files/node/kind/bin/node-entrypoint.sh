#!/bin/bash
# systemd and kubelet set values of the kernel that belong to the whole machine. They get files to write to instead,
# which hold what they want to read; then kind's own entrypoint takes over.
set -eu
stand_in() { # a file in the place of a setting: `stand_in NAME VALUE`
  local setting="/proc/sys/${1//.//}" file="/kind/settings/$1"
  echo "$2" >"$file"
  mount --bind "$file" "$setting"
}

mkdir -p /kind/settings
stand_in vm.overcommit_memory 1
stand_in vm.panic_on_oom 0
stand_in kernel.panic 10
stand_in kernel.panic_on_oops 1
stand_in kernel.keys.root_maxkeys 1000000
stand_in kernel.keys.root_maxbytes 25000000
for name in kernel.pid_max fs.file-max fs.nr_open; do
  stand_in "$name" "$(cat "/proc/sys/${name//.//}")"
done
exec /usr/local/bin/entrypoint "$@"
