// long: one library, read in one piece
/* A small libnvidia-ml.so.1 for tests: enough of NVML for nvidia-ml-py to run unchanged, with a
 * power waveform whose integral is known in closed form. Names, numbers and layouts are those of
 * NVIDIA's public nvml.h. It is configured by environment variables, read at every call.
 *
 * What the card draws
 *   FAKENVML_WATTS=200           constant power, or LOW:HIGH:PERIOD_S, high in the first half of
 *                                each period of CLOCK_MONOTONIC
 *   FAKENVML_LOAD=FILE           lines "CLOCK_MONOTONIC LEVEL" in time order, looked at anew at each
 *                                call: power is LOW + LEVEL * (HIGH - LOW) from that instant on
 * How its sensor sees that: at an update at t it shows the mean over [t-LAG-WINDOW, t-LAG]
 *   FAKENVML_UPDATE_S=0.02       period of the updates; 0: always fresh
 *   FAKENVML_JITTER=0            an update comes late by up to this share of the period
 *   FAKENVML_WINDOW_S=0          0: the instant itself
 *   FAKENVML_LAG_S=0, FAKENVML_GAIN=1, FAKENVML_OFFSET_W=0
 *   FAKENVML_NOISE_W=0           readings are off by up to this, another amount at each update
 *   FAKENVML_FREEZE_S=S          from S on it shows what it showed then; the counter goes on
 *   FAKENVML_MODULE_W=W          the module draws so much more; without it there is no module scope
 * Its energy counter, of the same gain and offset
 *   FAKENVML_COUNTER_GAIN=1      and a gain of its own
 *   FAKENVML_COUNT_J=J           what it shows at the start; without it, what was drawn since boot
 *   FAKENVML_TICK_S              period of its ticks; without it that of the updates
 *   FAKENVML_RESET_S=S           starts again at 0
 *   FAKENVML_WRAP_J=J            starts again at 0 whenever it reaches J
 * What else it tells
 *   FAKENVML_GPUS=1              how many GPUs
 *   FAKENVML_NAME=Fake GPU       their name; several apart by '|', the last one for all the rest
 *   FAKENVML_CC=9.0              compute capability; power usage is a mean of 1 s above 8.0
 *   FAKENVML_LIMIT_W=400[,W@S]   enforced power limit, another one from S on
 *   FAKENVML_LIMIT_FILE=FILE     lines "CLOCK_MONOTONIC WATTS" in time order: the limit from that
 *                                instant on (before the first, the default), whoever wrote it.
 *                                Setting a limit adds a line; without the file none can be set. No
 *                                more than it is drawn; a load of levels other than 0 and 1 is
 *                                cut off at the two ends alone
 *   FAKENVML_LIMIT_LEAST_W=W     the driver takes a lower limit and leaves this one
 *   FAKENVML_THROTTLE=74=0.1,..  share of the time since the start that a throttle field counts
 *   FAKENVML_XID=CODE@S,..       Xid errors
 *   FAKENVML_ECC=N@S,..          uncorrectable errors: N more from S on; "off": a card without ECC
 *   FAKENVML_PROCESSES=PID@S,..  computing from S on; FAKENVML_GRAPHICS and FAKENVML_MPS likewise
 *   FAKENVML_MIG=0, FAKENVML_VGPU=0 (virtualisation mode), FAKENVML_DISPLAY=0
 *   FAKENVML_PERSISTENCE=1, FAKENVML_COMPUTE_MODE=0
 *   FAKENVML_CUDA=13000          the newest CUDA that the driver serves: 13.0
 * Faults
 *   FAKENVML_FAIL=CALL=CODE,..   return codes: of a function by its symbol, of one field as
 *                                field186, in module scope as field186.1
 *   FAKENVML_DELAY=CALL=S,..     seconds that a call takes; inf: it hangs
 *   FAKENVML_TYPE=field186=9,..  value type of a field
 *   FAKENVML_FAULTS_AFTER_S=0, FAKENVML_FAULTS_FOR_S=inf    when all these hold
 *
 * S are seconds after "the start", the first nvmlInit of the process; without @S from the start on.
 * Built with -DFAKENVML_OLD it is a driver 470: fields up to 160 only, no third version of calls. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10,
    UNKNOWN = 999
};
enum { UNSIGNED_INT = 1, UNSIGNED_LONG_LONG = 3 };
enum { MAX_GPUS = 16, LEAST_LIMIT_MW = 200000, DEFAULT_LIMIT_MW = 450000, MAX_LIMIT_MW = 500000 };
enum { FIELD_AVERAGE = 185, FIELD_INSTANT = 186, FIELD_ENERGY = 191, LAST_OLD_FIELD = 160 };
enum { XID_CRITICAL = 8 };

typedef struct { unsigned index; } gpu_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef union { double d; unsigned ui; unsigned long long ull; } value_t;
typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp_us, latency_us;
    uint32_t value_type, nvml_return;
    value_t value;
} field_value_t;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } process_t;
typedef struct {
    gpu_t *gpu;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} event_t;
typedef struct { gpu_t *gpu; double since_s; unsigned told; } event_set_t;

int fakenvml = 1; /* says that this is not NVIDIA's library */

static gpu_t gpus[MAX_GPUS];
static double start_s = -1;

/* Settings */

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double running_s(void) { return seconds(CLOCK_MONOTONIC) - start_s; }

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

/* The next VALUE[@S] of a list; 0 at its end. */
static int next(const char **text, double *value, double *at_s) {
    if (!*text || !**text) return 0;
    char *end;
    *value = strtod(*text, &end);
    *at_s = *end == '@' ? strtod(end + 1, &end) : 0;
    *text = *end == ',' ? end + 1 : NULL;
    return 1;
}

/* Faults */

static int faulty(void) {
    double after_s = number("FAKENVML_FAULTS_AFTER_S", 0);
    if (start_s < 0) return after_s <= 0;
    return running_s() >= after_s
        && running_s() < after_s + number("FAKENVML_FAULTS_FOR_S", INFINITY);
}

static unsigned enter(const char *call) {
    if (!faulty()) return SUCCESS;
    double delay_s = setting("FAKENVML_DELAY", call, 0);
    while (isinf(delay_s)) pause();
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

/* The power and its integral from t = 0 */

static void waveform(double limit_w, double *low_w, double *high_w, double *period_s) {
    const char *text = getenv("FAKENVML_WATTS");
    int given = text ? sscanf(text, "%lf:%lf:%lf", low_w, high_w, period_s) : 0;
    if (given < 1) *low_w = 200;
    if (given < 2) *high_w = *low_w;
    if (given < 3) *period_s = 1;
    *low_w = fmin(*low_w, limit_w), *high_w = fmin(*high_w, limit_w);
}

/* The level of the load file at t and its integral up to t; half-written lines are left alone. */
static void load(const char *path, double t_s, double *level, double *integral) {
    char line[128];
    double since_s = 0, next_s, next_level;
    *level = *integral = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file) && strchr(line, '\n')) {
        if (sscanf(line, "%lf %lf", &next_s, &next_level) < 2) continue;
        if (next_s > t_s) break;
        *integral += *level * (next_s - since_s);
        since_s = next_s, *level = next_level;
    }
    if (file) fclose(file);
    *integral += *level * (t_s - since_s);
}

/* The next line of the limit file: its limit and its instant. */
static int next_limit(FILE *file, double *since_s, double *limit_w) {
    char line[128];
    while (file && fgets(line, sizeof line, file) && strchr(line, '\n'))
        if (sscanf(line, "%lf %lf", since_s, limit_w) == 2) return 1;
    return 0;
}

/* The limit that the file gives at t; without a file there is none. */
static double obeyed_w(double t_s) {
    const char *path = getenv("FAKENVML_LIMIT_FILE");
    double limit_w = DEFAULT_LIMIT_MW / 1000.0, since_s, next_w;
    if (!path) return INFINITY;
    FILE *file = fopen(path, "r");
    while (next_limit(file, &since_s, &next_w) && since_s <= t_s) limit_w = next_w;
    if (file) fclose(file);
    return limit_w;
}

static double power_w(double t_s) {
    double low_w, high_w, period_s, level, integral;
    const char *path = getenv("FAKENVML_LOAD");
    waveform(obeyed_w(t_s), &low_w, &high_w, &period_s);
    if (!path) return fmod(t_s, period_s) < period_s / 2 ? high_w : low_w;
    load(path, t_s, &level, &integral);
    return low_w + level * (high_w - low_w);
}

/* What had been drawn by t if this limit had always held. */
static double energy_under(double limit_w, double t_s) {
    double low_w, high_w, period_s, level, high_s;
    const char *path = getenv("FAKENVML_LOAD");
    waveform(limit_w, &low_w, &high_w, &period_s);
    if (path) {
        load(path, t_s, &level, &high_s);
    } else {
        double periods = floor(t_s / period_s), rest_s = t_s - periods * period_s;
        high_s = periods * period_s / 2 + fmin(rest_s, period_s / 2);
    }
    return high_w * high_s + low_w * (t_s - high_s);
}

static double energy_j(double t_s) {
    const char *path = getenv("FAKENVML_LIMIT_FILE");
    if (!path) return energy_under(INFINITY, t_s);
    double limit_w = DEFAULT_LIMIT_MW / 1000.0, joules = 0, since_s = 0, next_s, next_w;
    FILE *file = fopen(path, "r");
    while (next_limit(file, &next_s, &next_w) && next_s <= t_s) {
        joules += energy_under(limit_w, next_s) - energy_under(limit_w, since_s);
        since_s = next_s, limit_w = next_w;
    }
    if (file) fclose(file);
    return joules + energy_under(limit_w, t_s) - energy_under(limit_w, since_s);
}

/* The sensor */

/* A number in [0, 1) that belongs to the k-th update. */
static double chance(double k) {
    uint64_t x = (uint64_t)k * 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return (double)((x ^ (x >> 31)) >> 11) / 9007199254740992.0;
}

/* The instant of the last update, or tick, of this period. */
static double last_s(double now_s, double period_s) {
    double jitter = number("FAKENVML_JITTER", 0), k = floor(now_s / period_s);
    if (period_s <= 0) return now_s;
    if ((k + jitter * chance(k)) * period_s > now_s) k--;
    return (k + jitter * chance(k)) * period_s;
}

static double updated_s(void) {
    double now_s = fmin(running_s(), number("FAKENVML_FREEZE_S", INFINITY)) + start_s;
    return last_s(now_s, number("FAKENVML_UPDATE_S", 0.02));
}

/* What is shown of the mean power of `window_s` seconds, W. */
static double shown_w(double window_s) {
    double at_s = updated_s(), end_s = at_s - number("FAKENVML_LAG_S", 0);
    double true_w = window_s > 0 ? (energy_j(end_s) - energy_j(end_s - window_s)) / window_s
                                 : power_w(end_s);
    double noise = 2 * chance(floor(at_s * 1e6)) - 1;
    return number("FAKENVML_GAIN", 1) * true_w + number("FAKENVML_OFFSET_W", 0)
        + noise * number("FAKENVML_NOISE_W", 0);
}

static unsigned instant_mw(void) { return (unsigned)(1000 * shown_w(number("FAKENVML_WINDOW_S", 0))); }

static unsigned average_mw(void) { return (unsigned)(1000 * shown_w(1)); }

static unsigned usage_mw(void) {
    return number("FAKENVML_CC", 9.0) > 8.0 ? average_mw() : instant_mw();
}

static double counted_j(double t_s) {
    double joules = number("FAKENVML_GAIN", 1) * energy_j(t_s) + number("FAKENVML_OFFSET_W", 0) * t_s;
    return number("FAKENVML_COUNTER_GAIN", 1) * joules;
}

static unsigned long long counter_mj(void) {
    double period_s = number("FAKENVML_TICK_S", number("FAKENVML_UPDATE_S", 0.02));
    double t_s = last_s(seconds(CLOCK_MONOTONIC), period_s);
    double reset_s = start_s + number("FAKENVML_RESET_S", INFINITY);
    double joules = counted_j(t_s) - (t_s >= reset_s ? counted_j(reset_s) : 0);
    if (getenv("FAKENVML_COUNT_J")) joules += number("FAKENVML_COUNT_J", 0) - counted_j(start_s);
    return (unsigned long long)(1000 * fmod(joules, number("FAKENVML_WRAP_J", INFINITY)));
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

#ifdef FAKENVML_OLD
#define NEWER __attribute__((visibility("hidden")))
#define VERSION "470.00"
#define LAST_FIELD LAST_OLD_FIELD
#else
#define NEWER
#define VERSION "600.00"
#define LAST_FIELD UINT32_MAX
#endif

unsigned nvmlSystemGetDriverVersion(char *version, unsigned length) {
    ENTER();
    return put(version, length, VERSION);
}

unsigned nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    ENTER();
    return put(version, length, "13." VERSION);
}

unsigned nvmlSystemGetCudaDriverVersion_v2(int *version) {
    ENTER();
    *version = (int)number("FAKENVML_CUDA", 13000);
    return SUCCESS;
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
    const char *text = getenv("FAKENVML_NAME"), *after;
    if (!text) text = "Fake GPU";
    for (unsigned i = 0; i < gpu->index && (after = strchr(text, '|')); i++) text = after + 1;
    put(name, length, text);
    name[strcspn(name, "|")] = 0;
    return SUCCESS;
}

unsigned nvmlDeviceGetVbiosVersion(gpu_t *gpu, char *version, unsigned length) {
    ENTER();
    (void)gpu;
    return put(version, length, "96.00.00.00.01");
}

unsigned nvmlDeviceGetCudaComputeCapability(gpu_t *gpu, int *major, int *minor) {
    ENTER();
    (void)gpu;
    int tenths = (int)round(10 * number("FAKENVML_CC", 9.0));
    *major = tenths / 10, *minor = tenths % 10;
    return SUCCESS;
}

unsigned nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *memory) {
    ENTER();
    (void)gpu;
    *memory = (memory_t){.total = 80ULL << 30, .free = 79ULL << 30, .used = 1ULL << 30};
    return SUCCESS;
}

/* One number about a GPU, or two */

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

#define GETTER_OF_TWO(name, first, second) \
    unsigned name(gpu_t *gpu, unsigned *one, unsigned *two) { \
        ENTER(); \
        (void)gpu; \
        *one = (first), *two = (second); \
        return SUCCESS; \
    }

static unsigned limit_mw(void) {
    const char *text = getenv("FAKENVML_LIMIT_W");
    double watts, at_s, holds_w = 400;
    if (getenv("FAKENVML_LIMIT_FILE")) {
        return (unsigned)round(1000 * obeyed_w(seconds(CLOCK_MONOTONIC)));
    }
    while (next(&text, &watts, &at_s))
        if (running_s() >= at_s) holds_w = watts;
    return (unsigned)(1000 * holds_w);
}

static int has_ecc(void) {
    const char *text = getenv("FAKENVML_ECC");
    return !text || strcmp(text, "off");
}

unsigned nvmlDeviceSetPowerManagementLimit(gpu_t *gpu, unsigned asked_mw) {
    ENTER();
    (void)gpu;
    const char *path = getenv("FAKENVML_LIMIT_FILE");
    if (asked_mw < LEAST_LIMIT_MW || asked_mw > MAX_LIMIT_MW) return INVALID_ARGUMENT;
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return NOT_SUPPORTED;
    double watts = fmax(asked_mw / 1000.0, number("FAKENVML_LIMIT_LEAST_W", 0));
    fprintf(file, "%.9f %.3f\n", seconds(CLOCK_MONOTONIC), watts);
    return fclose(file) ? UNKNOWN : SUCCESS;
}

GETTER(nvmlDeviceGetEnforcedPowerLimit, unsigned, limit_mw())
GETTER(nvmlDeviceGetPowerManagementLimit, unsigned, limit_mw())
GETTER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, DEFAULT_LIMIT_MW)
GETTER_OF_TWO(nvmlDeviceGetPowerManagementLimitConstraints, LEAST_LIMIT_MW, MAX_LIMIT_MW)
GETTER(nvmlDeviceGetPersistenceMode, unsigned, (unsigned)number("FAKENVML_PERSISTENCE", 1))
GETTER(nvmlDeviceGetComputeMode, unsigned, (unsigned)number("FAKENVML_COMPUTE_MODE", 0))
GETTER(nvmlDeviceGetPerformanceState, unsigned, 2)
GETTER(nvmlDeviceGetPowerUsage, unsigned, usage_mw())
GETTER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, counter_mj())
GETTER_OF(nvmlDeviceGetTemperature, unsigned, 55)
GETTER_OF(nvmlDeviceGetTemperatureThreshold, unsigned, 92)
GETTER_OF(nvmlDeviceGetMaxClockInfo, unsigned, 1980)
GETTER_OF(nvmlDeviceGetClockInfo, unsigned, which == 2 ? 2619 : 1755)
GETTER_OF_TWO(nvmlDeviceGetMigMode, (unsigned)number("FAKENVML_MIG", 0), *one)
GETTER(nvmlDeviceGetVirtualizationMode, unsigned, (unsigned)number("FAKENVML_VGPU", 0))
GETTER(nvmlDeviceGetDisplayActive, unsigned, (unsigned)number("FAKENVML_DISPLAY", 0))
GETTER_OF_TWO(nvmlDeviceGetEccMode, (unsigned)has_ecc(), *one)

unsigned nvmlDeviceGetTotalEccErrors(gpu_t *gpu, unsigned type, unsigned kind,
                                     unsigned long long *errors) {
    ENTER();
    (void)gpu, (void)type, (void)kind;
    if (!has_ecc()) return NOT_SUPPORTED;
    const char *text = getenv("FAKENVML_ECC");
    double more, at_s;
    *errors = 0;
    while (next(&text, &more, &at_s))
        if (running_s() >= at_s) *errors += (unsigned long long)more;
    return SUCCESS;
}

/* Processes */

static unsigned list(const char *variable, unsigned *count, process_t *processes) {
    const char *text = getenv(variable);
    double pid, at_s;
    unsigned found = 0, room = processes ? *count : 0;
    while (next(&text, &pid, &at_s)) {
        if (running_s() < at_s) continue;
        if (found < room) processes[found] = (process_t){.pid = (unsigned)pid, .memory = 1 << 20};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

#define LISTER(name, variable) \
    unsigned name(gpu_t *gpu, unsigned *count, process_t *processes) { \
        ENTER(); \
        (void)gpu; \
        return list(variable, count, processes); \
    }

NEWER LISTER(nvmlDeviceGetComputeRunningProcesses_v3, "FAKENVML_PROCESSES")
NEWER LISTER(nvmlDeviceGetGraphicsRunningProcesses_v3, "FAKENVML_GRAPHICS")
NEWER LISTER(nvmlDeviceGetMPSComputeRunningProcesses_v3, "FAKENVML_MPS")
LISTER(nvmlDeviceGetComputeRunningProcesses_v2, "FAKENVML_PROCESSES")
LISTER(nvmlDeviceGetGraphicsRunningProcesses_v2, "FAKENVML_GRAPHICS")
LISTER(nvmlDeviceGetMPSComputeRunningProcesses_v2, "FAKENVML_MPS")

/* Events: the set tells each Xid since its registration once, and never waits. */

unsigned nvmlEventSetCreate(event_set_t **set) {
    ENTER();
    *set = calloc(1, sizeof **set);
    return SUCCESS;
}

unsigned nvmlDeviceRegisterEvents(gpu_t *gpu, unsigned long long types, event_set_t *set) {
    ENTER();
    if (types != XID_CRITICAL) return NOT_SUPPORTED;
    set->gpu = gpu, set->since_s = running_s();
    return SUCCESS;
}

unsigned nvmlEventSetWait_v2(event_set_t *set, event_t *event, unsigned timeout_ms) {
    ENTER();
    (void)timeout_ms;
    const char *text = getenv("FAKENVML_XID");
    double code, at_s;
    for (unsigned k = 0; next(&text, &code, &at_s); k++) {
        if (k < set->told || at_s < set->since_s || running_s() < at_s) continue;
        *event = (event_t){.gpu = set->gpu, .type = XID_CRITICAL, .data = (unsigned long long)code};
        set->told = k + 1;
        return SUCCESS;
    }
    return TIMEOUT;
}

/* Many quantities in one call */

static unsigned long long throttled_ns(unsigned field_id) {
    char key[16];
    snprintf(key, sizeof key, "%u", field_id);
    return (unsigned long long)(1e9 * setting("FAKENVML_THROTTLE", key, 0) * running_s());
}

static void put_long(field_value_t *field, unsigned long long value) {
    field->value_type = UNSIGNED_LONG_LONG;
    field->value.ull = value;
}

static void read_value(field_value_t *field, double module_w) {
    unsigned module_mw = (unsigned)(1000 * module_w);
    switch (field->field_id) {
    case FIELD_AVERAGE: field->value.ui = average_mw() + module_mw; break;
    case FIELD_INSTANT: field->value.ui = instant_mw() + module_mw; break;
    case FIELD_ENERGY:
        put_long(field, counter_mj() + (unsigned long long)(module_mw * updated_s()));
        break;
    case 74: case 269: case 270: case 271: put_long(field, throttled_ns(field->field_id)); break;
    default: field->nvml_return = NOT_SUPPORTED;
    }
}

static void read_field(field_value_t *field) {
    char key[32];
    double module_w = field->scope_id ? number("FAKENVML_MODULE_W", NAN) : 0;
    snprintf(key, sizeof key, field->scope_id ? "field%u.%u" : "field%u", field->field_id,
             field->scope_id);
    field->timestamp_us = (int64_t)(1e6 * seconds(CLOCK_REALTIME));
    field->latency_us = 0;
    field->nvml_return = enter(key);
    field->value_type = UNSIGNED_INT;
    field->value.ull = 0;
    if (field->nvml_return) return;
    if (isnan(module_w) || field->field_id > LAST_FIELD) {
        field->nvml_return = NOT_SUPPORTED;
        return;
    }
    read_value(field, module_w);
    if (faulty()) field->value_type = (uint32_t)setting("FAKENVML_TYPE", key, field->value_type);
}

unsigned nvmlDeviceGetFieldValues(gpu_t *gpu, int count, field_value_t *fields) {
    ENTER();
    (void)gpu;
    for (int i = 0; i < count; i++) read_field(&fields[i]);
    return SUCCESS;
}
