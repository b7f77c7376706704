#!/bin/sh
# The programs as a user runs them, on an installed root.
# Usage: test_programs.sh BUILD PYTHON INSTALLER
set -eu
build=$1 python=$2 installer=$3
root=$(mktemp -d)
trap 'kill "${holder:-}" 2>/dev/null || true; rm -rf "$root"' EXIT
"$python" "$installer" --profile h100x4 --build "$build" --root "$root"
unset FAKE_GPU_ROOT CUDA_VISIBLE_DEVICES
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu"
smi=$root/usr/bin/nvidia-smi
query="--query-gpu=index,memory.total,memory.used,memory.free,utilization.gpu"

expect() { # WHAT ACTUAL WANTED
    [ "$2" = "$3" ] && echo "ok $1" || { printf 'FAILED %s\n got: %s\nwant: %s\n' "$1" "$2" "$3"; exit 1; }
}

expect "nvidia-smi -L lists the GPUs" "$("$smi" -L | sed -n 1p)" \
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01)"
expect "queries print CSV with units" "$("$smi" -i 0 "$query" --format=csv)" \
    "index, memory.total [MiB], memory.used [MiB], memory.free [MiB], utilization.gpu [%]
0, 81559 MiB, 0 MiB, 81559 MiB, 0 %"
expect "an unknown field is refused" "$("$smi" --query-gpu=nonsense --format=csv || echo "status $?")" \
    "Field \"nonsense\" is not a valid field to query.

status 2"
expect "info knows UUID and memory" "$("$build/gpu-sample" info | sed -n 1p)" \
    "device 0: NVIDIA H100 80GB HBM3 uuid=GPU-1f2e6a40-5c0d-4b7e-9a31-0d6c1b8e7f01 total=85520809984 free=85520809984"
expect "an allocation that fits" "$("$build/gpu-sample" alloc 3000)" "allocated 3000 MiB"
expect "one that does not" "$("$build/gpu-sample" alloc 81560 || echo "status $?")" \
    "cuMemAlloc 81560 MiB: CUDA_ERROR_OUT_OF_MEMORY
status 3"
expect "every path leads to the driver" "$("$build/gpu-sample" paths 100 | grep -c ': allocated$')" 32

mkfifo "$root/said"
"$build/gpu-sample" hold 3000 >"$root/said" &
holder=$!
exec 3<"$root/said"
read -r first <&3 && read -r second <&3
expect "hold says that it holds" "$first; $second" "allocated 3000 MiB; holding 3000 MiB"
expect "nvidia-smi sees what is held" "$("$smi" -i 0 "$query" --format=csv,noheader,nounits)" \
    "0, 81559, 3000, 78559, 0"
expect "the table names the process" "$("$smi" | grep -c "$holder .*gpu-sample .*3000MiB")" 1
kill "$holder" && wait "$holder"
expect "hold ends on SIGTERM" "$(cat <&3)" "released"
