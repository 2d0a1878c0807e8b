# SPDX-License-Identifier: MIT
"""What the benchmarks share: the folder, QEMU plugins, symbols, profiles, Debian's kernel image."""
import bisect
import collections
import fcntl
import glob
import os
import re
import subprocess
import sys
import tempfile

from . import make, path, qemu

OUT = path("build", "bench")


def fail(text, output=""):
    print(output[-3000:])
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def alone():
    """One timing run at a time on this host; gives what has to be kept until its end."""
    lock = open(os.path.join(tempfile.gettempdir(), "capos-timing.lock"), "a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another timing run on this host", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def go_ahead():
    """A session of its own, ahead of the others of a busy host; and of each QEMU the thread that serves the timers ahead of those that are
    the guest's processors, which else may hold it up for a tick of the host. Without the right to that, as it was."""
    try:
        if os.getpid() != os.getsid(0):
            os.setsid()
        with open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write("-20")
    except OSError as error:
        print(f"not ahead of others: {error}")
    first = ["chrt", "--fifo", "--reset-on-fork", "10"]  # the threads that it starts are ordinary ones
    if subprocess.run([*first, "true"], capture_output=True, check=False).returncode == 0:
        qemu.AHEAD[:] = first
    else:
        print("timers not ahead of the guest's processors")


def build(machine):
    code, output = make("-s", *machine.needs(), f"BUILD={machine.build}")
    if code:
        fail("capOS does not build", output)


def boot(machine, timeout, done=None):
    """Builds and runs a machine of ours to its end (and the text `done`)."""
    build(machine)
    run = qemu.run(machine, timeout)
    if run.code != qemu.PASS if done is None else done not in run.output:
        fail(f"capOS: {qemu.MEANING[run.code]}", run.output)
    return run


def plugin(name):
    """bench/NAME.c as a QEMU plugin."""
    os.makedirs(OUT, exist_ok=True)
    built = os.path.join(OUT, f"{name}.so")
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", built, path("bench", f"{name}.c")],
                   check=True)
    return built


def symbols(elf, base=0):
    """Ascending (address, name) of an ELF file's functions."""
    listed = subprocess.run(["nm", "-n", elf], text=True, capture_output=True, check=True).stdout
    return [(int(address, 16) + base, name) for address, kind, name in
            (line.split() for line in listed.splitlines() if len(line.split()) == 3) if kind in "tTwW"]


class Symbols:
    """Names of addresses; programs' begin with "user: "."""
    def __init__(self, *lists):
        self.found = sorted(pair for found in lists for pair in found)
        self.addresses = [a for a, _ in self.found]

    def of(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        return f"{'' if address >> 63 else 'user: '}{self.found[i][1]}" if i >= 0 else "?"


def capos_symbols(program):
    return Symbols(symbols(path("build", "release", "capos.elf")), symbols(path("build", "release", "user", program), 0x220000))


def profile(machine, timeout, done, program, number):
    """Boots `program` with the plugin profile.c: its output, how often operation `number` was marked, and instructions by
    (address, function) in between."""
    os.makedirs(OUT, exist_ok=True)
    out = os.path.join(OUT, "profile.txt")
    machine.extra = [*machine.extra, "-plugin", f"{plugin('profile')},out={out}"]
    output = boot(machine, timeout, done).output
    known, counts, begins = capos_symbols(program), collections.Counter(), 1
    with open(out, encoding="ascii") as f:
        for operation, address, count in (line.split() for line in f):
            if int(operation) == number and address == "begins":
                begins = int(count)
            elif int(operation) == number:
                counts[(int(address, 16), known.of(int(address, 16)))] += int(count)
    return output, begins, counts


def by_function(counts):
    functions = collections.Counter()
    for (_, function), count in counts.items():
        functions[function] += count
    return functions


def newest(packages):
    """The cloud kernel package of the highest version among apt's names."""
    found = [p for p in packages if re.fullmatch(r"linux-image-\d[\w.+~-]*-cloud-amd64", p)
             and re.search(r"-\d+\.\d+\.\d+", p)]
    return max(found, key=lambda p: [int(n) for n in re.findall(r"\d+", p)], default=None)


def linux_kernel(version):
    """Debian's cloud kernel image of a version like 6.12, fetched once as a package; apt must have it (backports have 6.12)."""
    folder = os.path.join(OUT, f"linux-{version}")
    os.makedirs(folder, exist_ok=True)
    found = sorted(glob.glob(os.path.join(folder, "boot", "vmlinuz-*")))
    if not found:
        known = subprocess.run(["apt-cache", "pkgnames", f"linux-image-{version}."], text=True, capture_output=True, check=False)
        package = newest(known.stdout.split())
        if package is None:
            fail(f"apt knows no linux-image-{version}.*-cloud-amd64 (apt-get update; or --linux 6.1)")
        subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, capture_output=True)
        deb = sorted(glob.glob(os.path.join(folder, f"{package}_*.deb")))[-1]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpack:
            subprocess.run(["tar", "-x", "-C", folder, "--wildcards", "./boot/vmlinuz-*"], stdin=unpack.stdout, check=True)
        os.remove(deb)
        found = sorted(glob.glob(os.path.join(folder, "boot", "vmlinuz-*")))
    return found[-1]


def cpio(files):
    """A newc archive of executables."""
    out = b""
    for i, (name, data) in enumerate([*files, ("TRAILER!!!", b"")]):
        head = [i + 1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % v for v in head) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def linux_program(name, *flags):
    """bench/linux/NAME.c as a static program: its bytes. flags: of gcc, also further sources. NAME.full has its symbols."""
    os.makedirs(os.path.join(OUT, "linux"), exist_ok=True)
    program = os.path.join(OUT, "linux", name)
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", *flags, "-o", f"{program}.full",
                    path("bench", "linux", f"{name}.c")], check=True)
    subprocess.run(["strip", "-o", program, f"{program}.full"], check=True)
    with open(program, "rb") as f:
        return f.read()


def linux_command(kernel, programs, machine, *, quiet=True):
    """The command line for Debian's kernel with an initrd of (name, bytes): CPU, memory and clock of our machine."""
    os.makedirs(os.path.join(OUT, "linux"), exist_ok=True)
    initrd = os.path.join(OUT, "linux", "initrd-" + "-".join(name for name, _ in programs))
    with open(f"{initrd}.{os.getpid()}", "wb") as f:
        f.write(cpio(programs))
    os.replace(f.name, initrd)  # a QEMU that starts may be reading the former one
    ours = machine.command("")
    shared = [ours[0], "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"]
    for option in ("-machine", "-accel", "-cpu", "-smp", "-m", "-nic", "-icount"):
        if option in ours:
            shared += [option, ours[ours.index(option) + 1]]
    words = "console=ttyS0 tsc=reliable panic=-1 mitigations=off cryptomgr.notests" + (" quiet" if quiet else "")
    return [*shared, "-kernel", kernel, "-initrd", initrd, "-append", words]
