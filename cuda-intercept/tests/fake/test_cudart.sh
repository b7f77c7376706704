#!/bin/sh
# A real libcudart finds every memory and launch function that it asks for.
# Usage: test_cudart.sh BUILD PYTHON INSTALLER LIBCUDART
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
"$2" "$3" --profile h100x4 --build "$1" --root "$root"
unset FAKE_GPU_ROOT CUDA_VISIBLE_DEVICES
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu" FAKE_GPU_TRACE=1
status=0
"$1/cudart-sample" "$4" 100 2>"$root/trace" || status=$?
# 4: libcudart does not take a fake driver for NVIDIA's, whatever it answers.
[ "$status" = 4 ] || { echo "FAILED status $status"; exit 1; }
for wanted in "cuMemAlloc 3020 0: cuMemAlloc_v2" "cuMemFree 3020 0: cuMemFree_v2" \
    "cuMemAllocPitch 3020 0: cuMemAllocPitch_v2" "cuMemAllocManaged 6000 0: cuMemAllocManaged" \
    "cuMemAllocAsync 11020 0: cuMemAllocAsync" "cuMemAllocAsync 11020 2: cuMemAllocAsync_ptsz" \
    "cuLaunchKernel 4000 0: cuLaunchKernel" "cuLaunchKernel 7000 2: cuLaunchKernel_ptsz" \
    "cuLaunchKernelEx 11060 2: cuLaunchKernelEx_ptsz" "cuMemGetInfo 3020 0: cuMemGetInfo_v2"; do
    grep -qxF "cuGetProcAddress $wanted" "$root/trace" || { echo "FAILED $wanted"; exit 1; }
done
# Those come from headers of their own.
if grep ': none$' "$root/trace" | grep -vE ' cu(GL|EGL|VDPAU|Graphics|Profiler)'; then
    echo "FAILED functions that libcudart asked for are missing"
    exit 1
fi
