#include "faults.h"
#include "library.h"

#include "../device/queue.h"

#include <stdlib.h>
#include <time.h>

#define WAIT_STEP_MS 50

/* Events: what a set sees begins with its making. */
struct nvmlEventSet_st {
    unsigned long long types;
    unsigned long long minors;
    unsigned seen;
};

#define KNOWN_EVENTS                                                                               \
    (nvmlEventTypeSingleBitEccError | nvmlEventTypeDoubleBitEccError |                             \
     nvmlEventTypeXidCriticalError)

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    if (!fg_nvml_machine())
        return NVML_ERROR_UNINITIALIZED;
    if (!set)
        return NVML_ERROR_INVALID_ARGUMENT;
    *set = calloc(1, sizeof **set);
    if (*set)
        (*set)->seen = fg_fault_events();
    return *set ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    free(set);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types)
{
    FG_WHOLE_GPU(gpu, device, types);
    *types = KNOWN_EVENTS;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types,
                                      nvmlEventSet_t set)
{
    FG_WHOLE_GPU(gpu, device, set);
    if (types & ~(unsigned long long)KNOWN_EVENTS)
        return NVML_ERROR_NOT_SUPPORTED;
    set->types |= types;
    set->minors |= 1ull << gpu->minor % 64;
    return NVML_SUCCESS;
}

/* A lost GPU sends no events; one that fails spoils the wait for those of the others too. */
static nvmlReturn_t spoilt(nvmlEventSet_t set)
{
    unsigned long error = NVML_SUCCESS;
    for (unsigned minor = 0; minor < 64 && error == NVML_SUCCESS; minor++)
        if (set->minors >> minor & 1)
            fg_fault_of(FG_FAULT_FAILS, minor, &error);
    return (nvmlReturn_t)error;
}

static bool next_event(nvmlEventSet_t set, nvmlEventData_t *data)
{
    const struct fg_machine *machine = fg_nvml_machine();
    unsigned minor;
    unsigned long xid;
    while (machine && fg_fault_event(set->seen, &minor, &xid)) {
        set->seen++;
        for (unsigned i = 0; i < machine->gpu_count; i++) {
            if (machine->gpus[i]->minor != minor)
                continue;
            *data = (nvmlEventData_t){.device = (nvmlDevice_t)(uintptr_t)machine->gpus[i],
                                      .eventType = nvmlEventTypeXidCriticalError,
                                      .eventData = xid};
            return true;
        }
    }
    return false;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data,
                                 unsigned int timeout_ms)
{
    if (!set || !data)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t error = spoilt(set);
    if (error != NVML_SUCCESS)
        return error;
    for (unsigned waited = 0;; waited += WAIT_STEP_MS) {
        if ((set->types & nvmlEventTypeXidCriticalError) && next_event(set, data))
            return NVML_SUCCESS;
        if (waited >= timeout_ms)
            return NVML_ERROR_TIMEOUT;
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MS * 1000000l}, NULL);
    }
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout_ms)
{
    return nvmlEventSetWait_v2(set, data, timeout_ms);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts)
{
    FG_GPU(gpu, device, milliwatts);
    uint64_t span = gpu->power_limit_mw - gpu->idle_power_mw;
    *milliwatts = (unsigned)(gpu->idle_power_mw + span * fg_queue_busy_percent(fg_machine_number(gpu)) / 100);
    return NVML_SUCCESS;
}

/* Every limit that a power limit can be read through is the same. */
#define POWER_LIMIT(name)                                                                          \
    nvmlReturn_t name(nvmlDevice_t device, unsigned int *milliwatts)                               \
    {                                                                                              \
        FG_GPU(gpu, device, milliwatts);                                                           \
        *milliwatts = (unsigned)gpu->power_limit_mw;                                               \
        return NVML_SUCCESS;                                                                       \
    }

POWER_LIMIT(nvmlDeviceGetPowerManagementLimit)
POWER_LIMIT(nvmlDeviceGetPowerManagementDefaultLimit)
POWER_LIMIT(nvmlDeviceGetEnforcedPowerLimit)

static unsigned celsius(const struct fg_gpu *gpu)
{
    return (unsigned)gpu->temperature_c + fg_queue_busy_percent(fg_machine_number(gpu)) / 4;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                      unsigned int *temperature)
{
    FG_GPU(gpu, device, temperature);
    (void)sensor;
    *temperature = celsius(gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    FG_GPU(gpu, device, temperature);
    if (temperature->version != NVML_STRUCT_VERSION(Temperature, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    temperature->temperature = (int)celsius(gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *state)
{
    FG_GPU(gpu, device, state);
    *state = NVML_PSTATE_0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    FG_GPU(gpu, device, mode);
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t *active)
{
    FG_GPU(gpu, device, active);
    *active = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
    FG_GPU(gpu, device, mode);
    *mode = NVML_COMPUTEMODE_DEFAULT;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current,
                                  nvmlEnableState_t *pending)
{
    FG_GPU(gpu, device, current && pending);
    *current = *pending = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t error,
                                         nvmlEccCounterType_t counter, unsigned long long *count)
{
    FG_GPU(gpu, device, count);
    (void)counter;
    unsigned long uncorrected = 0;
    if (error == NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        fg_fault_of(FG_FAULT_ECC, gpu->minor, &uncorrected);
    *count = uncorrected;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    FG_GPU(gpu, device, values && count > 0);
    for (int i = 0; i < count; i++) {
        unsigned long action = NVML_GPU_RECOVERY_ACTION_NONE;
        values[i].nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        if (values[i].fieldId != NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)
            continue;
        fg_fault_of(FG_FAULT_RECOVERY, gpu->minor, &action);
        values[i].nvmlReturn = NVML_SUCCESS;
        values[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
        values[i].value.uiVal = (unsigned)action;
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type,
                                       unsigned int *megahertz)
{
    FG_GPU(gpu, device, megahertz);
    *megahertz = (unsigned)(type == NVML_CLOCK_MEM ? gpu->memory_clock_mhz : gpu->sm_clock_mhz);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type,
                                    unsigned int *megahertz)
{
    return nvmlDeviceGetMaxClockInfo(device, type, megahertz);
}
