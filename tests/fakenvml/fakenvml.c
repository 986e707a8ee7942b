/* A small libnvidia-ml.so.1 for tests: enough of NVML for nvidia-ml-py to run unchanged, with a
 * power waveform whose integral is known in closed form. Names, numbers and layouts are those of
 * NVIDIA's public nvml.h. It is configured by environment variables, read at every call:
 *
 *   FAKENVML_GPUS=1              how many GPUs
 *   FAKENVML_NAME=Fake GPU       their name; several apart by '|', the last one for all the rest
 *   FAKENVML_WATTS=200           constant power, or LOW:HIGH:PERIOD_S, high in the first half of
 *                                each period of CLOCK_MONOTONIC
 *   FAKENVML_UPDATE_S=0.02       power and energy are refreshed this often; 0: always fresh
 *   FAKENVML_THROTTLE=74=0.1,..  share of the time since the start that a throttle field counts
 *   FAKENVML_RESET_S=0.2         the energy counter starts again at 0 so long after the start
 *   FAKENVML_FAIL=CALL=CODE,..   return codes: of a function by its symbol, of one field as field186
 *   FAKENVML_DELAY=CALL=S,..     seconds that a call takes
 *   FAKENVML_TYPE=field186=9,..  value type of a field
 *   FAKENVML_FAULTS_AFTER_S=0    faults, delays and types begin so long after the start
 *
 * "The start" is the first nvmlInit of the process. Built with -DFAKENVML_OLD it lacks what old
 * drivers lack: field values and the energy counter. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };
enum { MAX_GPUS = 16, LIMIT_MW = 400000, DEFAULT_LIMIT_MW = 450000, MAX_LIMIT_MW = 500000 };

typedef struct { unsigned index; } gpu_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef union { double d; unsigned ui; unsigned long long ull; } value_t;
typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp_us, latency_us;
    uint32_t value_type, nvml_return;
    value_t value;
} field_value_t;

int fakenvml = 1; /* says that this is not NVIDIA's library */

static gpu_t gpus[MAX_GPUS];
static double start_s = -1;

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double number(const char *variable, double otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atof(text) : otherwise;
}

/* The value of `key` in a variable of the form KEY=VALUE,KEY=VALUE. */
static double setting(const char *variable, const char *key, double otherwise) {
    const char *text = getenv(variable);
    size_t length = strlen(key);
    while (text && *text) {
        if (!strncmp(text, key, length) && text[length] == '=') return atof(text + length + 1);
        text = strchr(text, ',');
        if (text) text++;
    }
    return otherwise;
}

static int faulty(void) {
    return start_s < 0
        || seconds(CLOCK_MONOTONIC) - start_s >= number("FAKENVML_FAULTS_AFTER_S", 0);
}

static unsigned enter(const char *call) {
    if (!faulty()) return SUCCESS;
    double delay_s = setting("FAKENVML_DELAY", call, 0);
    struct timespec delay = {(time_t)delay_s, (long)(1e9 * (delay_s - floor(delay_s)))};
    if (delay_s > 0) nanosleep(&delay, NULL);
    return (unsigned)setting("FAKENVML_FAIL", call, SUCCESS);
}

#define ENTER() \
    do { \
        unsigned code = enter(__func__); \
        if (code) return code; \
        if (start_s < 0) return UNINITIALIZED; \
    } while (0)

/* The waveform, its integral from t = 0, and the instant of the last update. */

static void waveform(double *low_w, double *high_w, double *period_s) {
    const char *text = getenv("FAKENVML_WATTS");
    int given = text ? sscanf(text, "%lf:%lf:%lf", low_w, high_w, period_s) : 0;
    if (given < 1) *low_w = 200;
    if (given < 3) *high_w = *low_w, *period_s = 1;
}

static double power_w(double t_s) {
    double low_w, high_w, period_s;
    waveform(&low_w, &high_w, &period_s);
    return fmod(t_s, period_s) < period_s / 2 ? high_w : low_w;
}

static double energy_j(double t_s) {
    double low_w, high_w, period_s;
    waveform(&low_w, &high_w, &period_s);
    double periods = floor(t_s / period_s), rest_s = t_s - periods * period_s;
    double high_s = periods * period_s / 2 + fmin(rest_s, period_s / 2);
    return high_w * high_s + low_w * (t_s - high_s);
}

static double updated_s(void) {
    double now_s = seconds(CLOCK_MONOTONIC), update_s = number("FAKENVML_UPDATE_S", 0.02);
    return update_s > 0 ? floor(now_s / update_s) * update_s : now_s;
}

static unsigned long long counter_mj(void) {
    double t_s = updated_s(), reset_s = start_s + number("FAKENVML_RESET_S", INFINITY);
    return (unsigned long long)(1000 * (energy_j(t_s) - (t_s >= reset_s ? energy_j(reset_s) : 0)));
}

static unsigned power_mw(void) { return (unsigned)(1000 * power_w(updated_s())); }

/* The 1-second average that newer cards report: exact, of the second before the last update. */
static unsigned average_mw(void) {
    double t_s = updated_s();
    return (unsigned)(1000 * (energy_j(t_s) - energy_j(t_s - 1)));
}

/* Library and devices */

unsigned nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    unsigned code = enter(__func__);
    if (!code && start_s < 0) start_s = seconds(CLOCK_MONOTONIC);
    return code;
}

unsigned nvmlShutdown(void) {
    ENTER();
    return SUCCESS;
}

const char *nvmlErrorString(unsigned code) {
    (void)code;
    return "an error of the fake library";
}

static unsigned put(char *to, unsigned length, const char *text) {
    snprintf(to, length, "%s", text);
    return SUCCESS;
}

unsigned nvmlSystemGetDriverVersion(char *version, unsigned length) {
    ENTER();
    return put(version, length, "600.00");
}

unsigned nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    ENTER();
    return put(version, length, "13.600.00");
}

unsigned nvmlDeviceGetCount_v2(unsigned *count) {
    ENTER();
    *count = (unsigned)fmin(number("FAKENVML_GPUS", 1), MAX_GPUS);
    return SUCCESS;
}

unsigned nvmlDeviceGetHandleByIndex_v2(unsigned index, gpu_t **gpu) {
    ENTER();
    if (index >= (unsigned)number("FAKENVML_GPUS", 1)) return INVALID_ARGUMENT;
    gpus[index].index = index;
    *gpu = &gpus[index];
    return SUCCESS;
}

static void write_uuid(char *to, unsigned length, unsigned index) {
    snprintf(to, length, "GPU-fa4e%04x-0000-4000-8000-00000000%04x", index, index);
}

unsigned nvmlDeviceGetHandleByUUID(const char *uuid, gpu_t **gpu) {
    ENTER();
    for (unsigned index = 0; index < (unsigned)number("FAKENVML_GPUS", 1); index++) {
        char known[64];
        write_uuid(known, sizeof known, index);
        if (!strcmp(uuid, known)) return nvmlDeviceGetHandleByIndex_v2(index, gpu);
    }
    return NOT_FOUND;
}

unsigned nvmlDeviceGetUUID(gpu_t *gpu, char *uuid, unsigned length) {
    ENTER();
    write_uuid(uuid, length, gpu->index);
    return SUCCESS;
}

unsigned nvmlDeviceGetName(gpu_t *gpu, char *name, unsigned length) {
    ENTER();
    const char *text = getenv("FAKENVML_NAME"), *next;
    if (!text) text = "Fake GPU";
    for (unsigned i = 0; i < gpu->index && (next = strchr(text, '|')); i++) text = next + 1;
    put(name, length, text);
    name[strcspn(name, "|")] = 0;
    return SUCCESS;
}

unsigned nvmlDeviceGetCudaComputeCapability(gpu_t *gpu, int *major, int *minor) {
    ENTER();
    (void)gpu;
    *major = 9, *minor = 0;
    return SUCCESS;
}

unsigned nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
    ENTER();
    (void)gpu;
    *memory = (memory_t){.total = 80ULL << 30, .free = 79ULL << 30, .used = 1ULL << 30};
    return SUCCESS;
}

unsigned nvmlDeviceGetVbiosVersion(gpu_t *gpu, char *version, unsigned length) {
    ENTER();
    (void)gpu;
    return put(version, length, "96.00.00.00.01");
}

/* One number about a GPU */

#define GETTER(name, type, expression) \
    unsigned name(gpu_t *gpu, type *value) { \
        ENTER(); \
        (void)gpu; \
        *value = (expression); \
        return SUCCESS; \
    }

#define GETTER_OF(name, type, expression) \
    unsigned name(gpu_t *gpu, unsigned which, type *value) { \
        ENTER(); \
        (void)gpu, (void)which; \
        *value = (expression); \
        return SUCCESS; \
    }

GETTER(nvmlDeviceGetEnforcedPowerLimit, unsigned, LIMIT_MW)
GETTER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, DEFAULT_LIMIT_MW)
GETTER(nvmlDeviceGetPersistenceMode, unsigned, 1)
GETTER(nvmlDeviceGetPerformanceState, unsigned, 2)
GETTER(nvmlDeviceGetPowerUsage, unsigned, power_mw())
GETTER_OF(nvmlDeviceGetTemperature, unsigned, 55)
GETTER_OF(nvmlDeviceGetMaxClockInfo, unsigned, 1980)
GETTER_OF(nvmlDeviceGetClockInfo, unsigned, which == 2 ? 2619 : 1755)

unsigned nvmlDeviceGetPowerManagementLimitConstraints(gpu_t *gpu, unsigned *low, unsigned *high) {
    ENTER();
    (void)gpu;
    *low = 200000, *high = MAX_LIMIT_MW;
    return SUCCESS;
}

/* What old drivers lack */

#ifdef FAKENVML_OLD
#define NEWER __attribute__((visibility("hidden")))
#else
#define NEWER
#endif

NEWER GETTER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, counter_mj())

static void read_throttle(field_value_t *field) {
    char key[16];
    snprintf(key, sizeof key, "%u", field->field_id);
    double share = setting("FAKENVML_THROTTLE", key, 0);
    double ran_s = seconds(CLOCK_MONOTONIC) - start_s;
    field->value_type = UNSIGNED_LONG_LONG;
    field->value.ull = (unsigned long long)(1e9 * share * ran_s);
}

static void read_field(field_value_t *field) {
    char key[16];
    snprintf(key, sizeof key, "field%u", field->field_id);
    field->timestamp_us = (int64_t)(1e6 * seconds(CLOCK_REALTIME));
    field->latency_us = 0;
    field->nvml_return = enter(key);
    field->value_type = UNSIGNED_INT;
    field->value.ull = 0;
    if (field->nvml_return) return;
    switch (field->field_id) {
    case 185: field->value.ui = average_mw(); break;
    case 186: field->value.ui = power_mw(); break;
    case 191:
        field->value_type = UNSIGNED_LONG_LONG;
        field->value.ull = counter_mj();
        break;
    case 74: case 269: case 270: case 271: read_throttle(field); break;
    default: field->nvml_return = NOT_SUPPORTED;
    }
    if (faulty()) field->value_type = (uint32_t)setting("FAKENVML_TYPE", key, field->value_type);
}

NEWER unsigned nvmlDeviceGetFieldValues(gpu_t *gpu, int count, field_value_t *fields) {
    ENTER();
    (void)gpu;
    for (int i = 0; i < count; i++) read_field(&fields[i]);
    return SUCCESS;
}
