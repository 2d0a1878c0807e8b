# SPDX-License-Identifier: MIT
"""QEMU: the command line, one batch run, and what an exit code means (the table is in docs/TESTING.md)."""
import fcntl
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from . import path

PASS, TESTS_FAILED, PANIC, BAD_MANIFEST, TIMEOUT, OTHER = range(6)
MEANING = {PASS: "clean end", TESTS_FAILED: "tests failed", PANIC: "kernel panic", BAD_MANIFEST: "bad manifest",
           TIMEOUT: "timeout", OTHER: "unexpected end of QEMU"}
# The guest writes v to the exit port, QEMU ends with 2v + 1.
GUEST_CODES = {2 * 0x10 + 1: PASS, 2 * 0x11 + 1: TESTS_FAILED, 2 * 0x12 + 1: PANIC, 2 * 0x13 + 1: BAD_MANIFEST}
OUTPUT_BYTES_MAX = 64 << 20

KVM_CREATE_VM = 0xAE01


def outcome(qemu_code):
    return GUEST_CODES.get(qemu_code, OTHER)


def has_kvm():
    """True where the CPU has virtualisation and the kernel really gives a virtual machine."""
    wanted = os.environ.get("CAPOS_ACCEL", "")
    if wanted:
        return wanted == "kvm"
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M):
                return False
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(fd, KVM_CREATE_VM, 0))
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


@dataclass
class Machine:
    """One run's machine: what boots, and on what."""
    manifest: str = "default"
    build: str = "release"
    cpus: int = 2
    mem: str = "128M"
    boot: str = "kernel"        # kernel (PVH), bios or uefi (both from the ISO)
    archive: str = ""           # instead of the manifest's
    iso: str = ""               # instead of the manifest's
    cmdline: str = ""
    icount: bool = False
    rng: bool = False
    cpu_model: str = ""
    topology: str = ""          # "2x4x2": packages x cores x threads
    extra: list = field(default_factory=list)
    gdb_socket: str = ""

    def kernel_path(self):
        return path("build", self.build, "capos.elf")

    def archive_path(self):
        return self.archive or path("build", self.build, f"boot-{self.manifest}.cpio")

    def iso_path(self):
        return self.iso or path("build", self.build, f"capos-{self.manifest}.iso")

    def needs(self):
        """The files this machine boots from, as make targets where make knows them."""
        if self.boot == "kernel":
            return [os.path.relpath(p, path()) for p in (self.kernel_path(), self.archive_path())]
        return [os.path.relpath(self.iso_path(), path())]

    def smp(self):
        if not self.topology:
            return str(self.cpus)
        return f"{self.cpus},sockets={{}},cores={{}},threads={{}}".format(*self.topology.split("x"))

    def command(self, tmp, interactive=False):
        """The command line; tmp is a directory that lives as long as the run."""
        kvm = has_kvm() and not self.icount
        if kvm:
            accel, cpu = "kvm", "host"
        elif self.icount:
            # Exact and repeatable: 1 instruction is 1 ns of guest time (facts: no ERMS, else rep counts per byte).
            accel, cpu = "tcg,thread=single", "max,-erms"
        else:
            accel, cpu = "tcg,thread=multi", "max"
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-accel", accel,
                   "-cpu", self.cpu_model or cpu, "-smp", self.smp(), "-m", self.mem, "-display", "none",
                   "-no-reboot", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        if interactive:
            command += ["-serial", "mon:stdio"]
        else:
            command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-monitor", "none"]
        if self.boot == "kernel":
            command += ["-kernel", self.kernel_path(), "-initrd", self.archive_path()]
            if self.cmdline:
                command += ["-append", self.cmdline]
        else:
            command += ["-cdrom", self.iso_path()]
            if self.boot == "uefi":
                variables = os.path.join(tmp, "OVMF_VARS.fd")
                shutil.copyfile("/usr/share/OVMF/OVMF_VARS.fd", variables)
                command += ["-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd",
                            "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
        if self.icount:
            command += ["-icount", "shift=0,sleep=off"]
        if self.rng:
            command += ["-device", "virtio-rng-pci"]
        if self.gdb_socket:
            command += ["-S", "-gdb", f"unix:{self.gdb_socket},server=on,wait=off"]
        return command + list(self.extra)


AHEAD = []  # bench.go_ahead


def bound(command):
    """The command, ended by the kernel when the one who started it ends."""
    return [*(["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []), *AHEAD, *command]


@dataclass
class Run:
    code: int           # PASS .. OTHER
    seconds: float
    output: str
    qemu_code: int


def stop(child):
    """Ends our own child, and only it."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def run(machine, timeout=60.0, log=None, echo=None):
    """Boots a machine without input, to its end or the timeout; the serial output goes to log and echo too."""
    with tempfile.TemporaryDirectory(prefix="capos-") as tmp:
        start = time.monotonic()
        chunks, size, code = [], 0, None
        sink = open(log, "wb") if log else None
        child = subprocess.Popen(bound(machine.command(tmp)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, cwd=path())
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(child.stdout, selectors.EVENT_READ)
                while code is None:
                    left = start + timeout - time.monotonic()
                    if left <= 0:
                        code = TIMEOUT
                        break
                    if not selector.select(left):
                        continue
                    chunk = os.read(child.stdout.fileno(), 65536)
                    if not chunk:
                        break
                    size += len(chunk)
                    chunks.append(chunk)
                    if sink:
                        sink.write(chunk)
                    if echo:
                        echo.write(chunk)
                        echo.flush()
                    if size > OUTPUT_BYTES_MAX:
                        code = OTHER
            if code is None:
                try:
                    code = outcome(child.wait(5))
                except subprocess.TimeoutExpired:
                    code = OTHER
        finally:
            stop(child)
            child.stdout.close()
            if sink:
                sink.close()
        text = b"".join(chunks).decode("utf-8", "replace")
        return Run(code, time.monotonic() - start, text, child.returncode)
