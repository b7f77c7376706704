"""Every name that Kubernetes, the node and containers know us by.

The C side spells the share's paths and keys in `share_env.h`; a test keeps the
two equal: `HAMI_<NAME>` there is `<NAME>` here.
"""

from typing import Final, NewType

ClaimUid = NewType("ClaimUid", str)
DeviceName = NewType("DeviceName", str)
ShareId = NewType("ShareId", str)

DISTRIBUTION: Final = "hami-dra"
DRIVER: Final = "gpu.hami.io"
DEVICE_CLASS: Final = DRIVER
ATTRIBUTE_DOMAIN: Final = DRIVER
METRICS_PREFIX: Final = "hami_dra_"

ALLOCATOR_TAINT_KEY: Final = f"{DRIVER}/allocator"
ALLOCATOR_TAINT_VALUE: Final = "controller"
ALLOCATOR_TAINT_EFFECT: Final = "NoSchedule"
DELETE_PROTECTION_FINALIZER: Final = "resource.kubernetes.io/delete-protection"
ALLOCATION_GATE: Final = f"{DRIVER}/allocation"
PINNED_ANNOTATION: Final = f"{DRIVER}/pinned-to"
OUTDATED_ANNOTATION: Final = f"{DRIVER}/outdated-version"

# HAMi's own names: what its users have on their pods goes on to work.
NODE_POLICY_ANNOTATION: Final = "hami.io/node-scheduler-policy"
DEVICE_POLICY_ANNOTATION: Final = "hami.io/gpu-scheduler-policy"

SHARE_CONFIG_API_VERSION: Final = f"{DRIVER}/v1alpha1"
SHARE_CONFIG_KIND: Final = "ShareConfig"

# Attributes of a device. Those without a domain are in the driver's own.
ATTRIBUTE_UUID: Final = "uuid"
ATTRIBUTE_MODEL: Final = "model"
ATTRIBUTE_ARCHITECTURE: Final = "architecture"
ATTRIBUTE_COMPUTE_CAPABILITY: Final = "cudaComputeCapability"
ATTRIBUTE_DRIVER_VERSION: Final = "driverVersion"
ATTRIBUTE_CUDA_DRIVER_VERSION: Final = "cudaDriverVersion"
ATTRIBUTE_MINOR: Final = "minor"
ATTRIBUTE_TYPE: Final = "type"
ATTRIBUTE_NVLINKS: Final = "nvlinks"
ATTRIBUTE_PROFILE: Final = "profile"
ATTRIBUTE_PARENT_UUID: Final = "parentUUID"
ATTRIBUTE_MULTIPROCESSORS: Final = "multiprocessors"
ATTRIBUTE_PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
ATTRIBUTE_PCI_BUS_ID: Final = "resource.kubernetes.io/pciBusID"
ATTRIBUTE_NUMA_NODE: Final = "resource.kubernetes.io/numaNode"

TYPE_GPU: Final = "gpu"
TYPE_MIG: Final = "mig"

CAPACITY_MEMORY: Final = "memory"
CAPACITY_CORES: Final = "cores"
CAPACITY_SHARES: Final = "shares"
CORES_PER_DEVICE: Final = 100

CONTROLLER_PROGRAM: Final = "hami-dra-controller"
KUBELET_PLUGIN_PROGRAM: Final = "hami-dra-kubelet-plugin"
WEBHOOK_PROGRAM: Final = "hami-dra-webhook"
CLI_PROGRAM: Final = "hami-dra"
KUBECTL_PROGRAM: Final = "kubectl-hami"

# On the node.
PLUGINS_DIR: Final = "/var/lib/kubelet/plugins"
PLUGIN_REGISTRY_DIR: Final = "/var/lib/kubelet/plugins_registry"
PLUGIN_DATA_DIR: Final = f"{PLUGINS_DIR}/{DRIVER}"
RUN_DIR: Final = "/run/hami"
CDI_DIR: Final = "/var/run/cdi"
CDI_STATIC_DIR: Final = "/etc/cdi"
CDI_VENDOR: Final = "k8s.gpu.hami.io"
CDI_KIND_SHARE: Final = f"{CDI_VENDOR}/share"
CDI_KIND_BASE: Final = f"{CDI_VENDOR}/base"
NVIDIA_VISIBLE_DEVICES: Final = "NVIDIA_VISIBLE_DEVICES"
NVIDIA_VISIBLE_DEVICES_VOID: Final = "void"

# Kubernetes' own: what containers are told of their devices (KEP-5304).
POD_CLAIM_ANNOTATION: Final = "resource.kubernetes.io/pod-claim-name"
DEVICE_METADATA_DIR: Final = "/var/run/kubernetes.io/dra-device-attributes"
DEVICE_METADATA_KIND: Final = "DeviceMetadata"
DEVICE_METADATA_VERSIONS: Final = ("metadata.resource.k8s.io/v1beta1", "metadata.resource.k8s.io/v1alpha1")

# In the container: the counterpart of share_env.h.
LIBRARY_NAME: Final = "libhami_share.so"
CONTAINER_LIBRARY_STEM: Final = "/etc/libhami_share-"
PRELOAD_PATH: Final = "/etc/ld.so.preload"
SHARES_DIR: Final = f"{RUN_DIR}/shares"
LIMITS_FILE: Final = "limits"
NODE_FILE: Final = "node"
USAGE_FILE: Final = "usage"
SHARE_ENV_PREFIX: Final = "HAMI_SHARE_"
RAW_UTILIZATION_ENV: Final = "HAMI_RAW_UTILIZATION"
LIMITS_KEY_LAYOUT: Final = "layout"
LIMITS_KEY_SHARE: Final = "share"
LIMITS_KEY_UUID: Final = "uuid"
LIMITS_KEY_MEMORY: Final = "memory"
LIMITS_KEY_CORES: Final = "cores"
LIMITS_KEY_CORE_LIMIT: Final = "core_limit"
LIMITS_KEY_PRIORITY: Final = "priority"


def device_name(uuid: str) -> DeviceName:
    """The device name of a GPU or MIG partition with NVML's `uuid` (`GPU-1F…` or `MIG-…`)."""
    return DeviceName(uuid.lower())


def share_env_name(share_id: str) -> str:
    """The environment variable that tells a container of the share (`HAMI_SHARE_<ID>`).

    Upper case and without hyphens, because dash drops variables whose names have one.
    """
    return SHARE_ENV_PREFIX + share_id.upper().replace("-", "_")


def cdi_share_device(share_id: str) -> str:
    """The fully qualified CDI device of a share."""
    return f"{CDI_KIND_SHARE}={share_id}"


def cdi_base_device(uuid: str) -> str:
    """The fully qualified CDI device that gives access to the GPU with NVML's `uuid`, in NVML's case."""
    return f"{CDI_KIND_BASE}={uuid}"


def qualified_name(name: str, driver: str = DRIVER) -> str:
    """`domain/name` of an attribute or capacity; a name without domain is the driver's own."""
    return name if "/" in name else f"{driver}/{name}"
