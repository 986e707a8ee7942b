"""What the doctor sees of machines that are made of files. Well under a second."""

import os
import stat
from pathlib import Path

import pytest

from bench.machine import cpu_device
from bench.symptoms.cards import Glances, bus
from bench.symptoms.host import host_facts, rapl_facts
from bench.symptoms.places import lock_facts, place_facts
from bench.symptoms.software import cuda_of, set_up_anew, software_facts

CPU = cpu_device()


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def pci(address, *, vendor="0x10de", kind="0x030200", power="active"):
    folder = f"bus/pci/devices/{address}"
    return {
        f"{folder}/vendor": f"{vendor}\n",
        f"{folder}/class": f"{kind}\n",
        f"{folder}/power/runtime_status": f"{power}\n",
    }


def test_the_bus_shows_nvidias_gpus_alone(tmp_path):
    write(tmp_path, {
        **pci("0000:01:00.0"),
        **pci("0000:01:00.1", kind="0x040300"),
        **pci("0000:02:00.0", vendor="0x1002"),
        **pci("0000:03:00.0", kind="0x030000"),
        "driver/nvidia/version": "NVRM version: …",
    })  # fmt: skip
    seen = bus(tmp_path, tmp_path)
    assert seen.bus == ("0000:01:00.0", "0000:03:00.0")
    assert (seen.asleep, seen.module_loaded) == ((), True)
    assert bus(tmp_path / "none", tmp_path / "none").bus == ()


def test_a_gpu_that_sleeps_is_not_asked(tmp_path, monkeypatch):
    write(tmp_path, {**pci("0000:01:00.0"), **pci("0000:02:00.0", power="suspended")})
    monkeypatch.setattr("bench.symptoms.cards.Apart", pytest.fail)
    with Glances(tmp_path, tmp_path) as glances:
        nvml, cuda = glances.told()
    assert nvml.asleep == ("0000:02:00.0",)
    assert (nvml.cards, cuda.found) == ((), False)


def rapl(root, *, energy="5"):
    zone = "sys/class/powercap/intel-rapl:0"
    write(root, {
        f"{zone}/name": "package-0\n",
        f"{zone}/energy_uj": f"{energy}\n",
        f"{zone}/max_energy_range_uj": "262143328850\n",
    })  # fmt: skip
    return root / "sys/class/powercap"


def test_the_energy_counters_are_read_absent_or_broken(tmp_path):
    assert rapl_facts(tmp_path).state == "absent"
    assert rapl_facts(rapl(tmp_path / "well")).text == "RAPL, 1 package"
    assert rapl_facts(rapl(tmp_path / "odd", energy="?")).state == "broken"


def test_energy_counters_of_root_alone_are_denied(tmp_path, monkeypatch):
    root = rapl(tmp_path)
    reads = Path.read_text

    def denying(path, *arguments, **options):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return reads(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", denying)
    assert rapl_facts(root).state == "denied"


def test_the_machine_around(tmp_path):
    source = "sys/devices/system/clocksource/clocksource0"
    governor = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
    write(tmp_path, {
        governor.format(0): "powersave\n",
        governor.format(1): "performance\n",
        governor.format(11): "powersave\n",
        f"{source}/current_clocksource": "hpet\n",
        f"{source}/available_clocksource": "tsc hpet acpi_pm \n",
        "proc/loadavg": "3.25 2.00 1.00 2/345 6789\n",
        "proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "run/.containerenv": "",
    })  # fmt: skip
    host = host_facts(CPU, tmp_path, {})
    assert (host.name, host.threads) == (CPU.name, CPU.threads)
    assert host.governors == ("performance", "powersave")
    assert (host.clock_source, host.clock_sources) == ("hpet", ("tsc", "hpet", "acpi_pm"))
    assert (host.load, host.quota_cores, host.wsl) == (3.25, 1.5, True)
    assert host.container == "podman"


def test_a_machine_that_tells_nothing(tmp_path):
    host = host_facts(CPU, tmp_path, {})
    assert (host.governors, host.clock_source, host.quota_cores) == ((), None, None)
    assert (host.load, host.wsl, host.container, host.rapl.state) == (0.0, False, None, "absent")


@pytest.mark.parametrize(
    ("files", "environ", "container", "quota"),
    [
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, {"container": "lxc"}, "lxc", None),
        ({".dockerenv": ""}, {}, "docker", None),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes", None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, {}, None, None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
          "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, {}, None, 2.0),
    ],
)  # fmt: skip
def test_containers_and_their_limits(tmp_path, files, environ, container, quota):
    write(tmp_path, files)
    host = host_facts(CPU, tmp_path, environ)
    assert (host.container, host.quota_cores) == (container, quota)


@pytest.mark.parametrize(
    ("line", "built"),
    [
        ("cuda: Optional[str] = '13.0'", "13.0"),
        ("cuda: Optional[str] = None", None),
        ('cuda = "12.8"', "12.8"),
        ("cuda_archs = '9.0'", None),
    ],
)
def test_which_cuda_torch_was_built_for(tmp_path, line, built):
    file = tmp_path / "version.py"
    file.write_text(f"__version__ = '2.11.0'\n{line}\nhip: Optional[str] = None\n")
    assert cuda_of(file) == built
    assert cuda_of(tmp_path / "none.py") is None


def test_what_is_installed_here(monkeypatch):
    import importlib.metadata

    monkeypatch.setenv("CXX", "a-compiler-of-no-machine")
    software = software_facts(CPU)
    assert software.versions["numba"] == importlib.metadata.version("numba")
    assert software.kernels[-1] == "portable"
    assert software.kernels_error is None
    assert (software.compiler, software.compiler_asked) == (None, "a-compiler-of-no-machine")


def test_an_environment_that_make_made_is_made_anew(tmp_path):
    assert set_up_anew(tmp_path).endswith(f"setup.dev && {tmp_path}/.ci/setup bench")
    write(tmp_path, {".venv/setup.dev": "stamp"})
    assert set_up_anew(tmp_path).endswith(f"setup.dev && {tmp_path}/.ci/setup dev")


def test_a_numba_that_cannot_be_used_is_told(monkeypatch):
    from bench.kernels.sha256d import workload

    def broken(_):
        raise ImportError("Numba needs NumPy 2.3 or less.\nGot NumPy 2.9.")

    monkeypatch.setattr(workload, "variants", broken)
    software = software_facts(CPU)
    assert software.kernels == ()
    assert software.kernels_error == "ImportError: Numba needs NumPy 2.3 or less. Got NumPy 2.9."


def test_folders_are_looked_at_and_left_alone(tmp_path):
    place = place_facts(tmp_path / "a" / "b")
    assert place.writable
    assert place.free_bytes > 0
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    assert not place_facts(tmp_path / "file" / "below").writable


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_nothing_is_told(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert not place_facts(tmp_path / "results").writable
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_the_lock_folder_is_the_one_that_runs_use(monkeypatch, tmp_path):
    monkeypatch.setenv("JOULEMARK_LOCK_DIR", str(tmp_path / "locks"))
    assert lock_facts().path == str(tmp_path / "locks")
    assert lock_facts().writable
    assert not (tmp_path / "locks").exists()
