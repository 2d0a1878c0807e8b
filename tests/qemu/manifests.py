# SPDX-License-Identifier: MIT
"""run-manifests: broken manifests, each refused at boot with its node path and its reason, and exit code 3."""
import os
import subprocess
import tempfile

from capos import make, path

PROCESS = 'program = "hello"; caps = "console"; '
ACCOUNT = ('account-id = <5>; iterations = <1000>; shell = "shell"; salt = [00 01 02 03 04 05 06 07]; hash = ['
           + "00 " * 32 + "]; ")


def tree(body, compatible='compatible = "capos,manifest-1"; '):
    return f"/dts-v1/; / {{ {compatible}{body} }};"


def processes(*nodes):
    return tree("processes { " + " ".join(nodes) + " };")


def process(extra="", name="one", base=PROCESS):
    return f"{name} {{ {base}{extra} }};"


def accounts(*nodes):
    return tree("accounts { " + " ".join(nodes) + " }; processes { " + process() + " };")


def account(extra="", name="operator", base=ACCOUNT):
    return f"{name} {{ {base}{extra} }};"


# name, device tree source, path, part of the reason
BROKEN = [
    ("no compatible", tree("processes { one { " + PROCESS + "}; };", compatible=""), "/", "compatible"),
    ("another format", tree("processes { one { " + PROCESS + "}; };", 'compatible = "other"; '), "/compatible", ""),
    ("unknown node", tree("surprise { }; processes { " + process() + " };"), "/surprise", "unknown node"),
    ("unknown property", processes(process("surprise = <1>;")), "/processes/one/surprise", "unknown property"),
    ("unknown program", processes(process(base='program = "nosuch"; ')), "/processes/one/program", "unknown program"),
    ("no program", processes(process(base="")), "/processes/one", "program"),
    ("no process", tree("processes { };"), "/", "no process"),
    ("unknown source", processes(process(base='program = "hello"; caps = "surprise"; ')), "/processes/one/caps",
     "unknown source"),
    ("unknown right", processes(process(base='program = "hello"; caps = "log/z"; ')), "/processes/one/caps",
     "unknown right"),
    ("impossible right", processes(process(base='program = "hello"; caps = "timer/w"; ')), "/processes/one/caps",
     "impossible grant"),
    ("impossible endpoint", processes(process(base='program = "hello"; caps = "endpoint:nobody"; ')),
     "/processes/one/caps", "impossible grant"),
    ("duplicate capability", processes(process(base='program = "hello"; caps = "timer", "log=timer"; ')),
     "/processes/one/caps", "duplicate capability name"),
    ("a standard capability's name", processes(process(base='program = "hello"; caps = "timer=self"; ')),
     "/processes/one/caps", "duplicate capability name"),
    ("duplicate process", processes(process(), process()), "/processes/one", "duplicate"),
    ("duplicate account", accounts(account(), account()), "/accounts/operator", "duplicate"),
    ("duplicate account id", accounts(account(), account(name="other")), "/accounts/other/account-id", "duplicate"),
    ("short hash", accounts(account(base='account-id = <5>; iterations = <1>; shell = "shell"; salt = [00 01 02 03 04 '
                                         '05 06 07]; hash = [00];')), "/accounts/operator/hash", "not in"),
    ("unknown shell", accounts(account(base=ACCOUNT.replace('"shell"', '"nosuch"'))), "/accounts/operator/shell",
     "unknown program"),
    ("too much memory", processes(process("memory-kib = <0x3fffffff>;")), "/processes", "memory"),
    ("too little memory", processes(process("memory-kib = <1>;")), "/processes/one/memory-kib", "not in"),
    ("no such CPU", processes(process("cpu = <200>;")), "/processes/one/cpu", "CPU"),
    ("no such CPU in a set", processes(process("cpus = <0 200>;")), "/processes/one/cpus", "no CPU 200"),
    ("a number as text", processes(process('slots = "many";')), "/processes/one/slots", "number"),
    ("unknown log level", tree('options { log-level = "chatty"; }; processes { ' + process() + " };"),
     "/options/log-level", "unknown level"),
    ("unknown scheduler", tree('options { scheduler = "fifo"; }; processes { ' + process() + " };"),
     "/options/scheduler", "unknown scheduler"),
    ("a name too long", processes(process(base='program = "averyveryverylongname"; ')), "/processes/one/program", ""),
]

# name, change of a good blob
CUT = [
    ("truncated to a half", lambda blob: blob[:len(blob) // 2]),
    ("truncated to its magic", lambda blob: blob[:4]),
    ("empty", lambda blob: b""),
    ("another magic", lambda blob: b"\0\0\0\0" + blob[4:]),
    ("an offset of the structure behind the end", lambda blob: blob[:8] + b"\xff\xff\xff\xf0" + blob[12:]),
    ("a structure of noughts", lambda blob: blob[:0x38] + b"\0" * (len(blob) - 0x38)),
]


def compile_tree(source):
    done = subprocess.run(["dtc", "-q", "-f", "-I", "dts", "-O", "dtb"], input=source.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    assert done.stdout, f"dtc made nothing of {source}: {done.stderr.decode()}"
    return done.stdout


def refuse(boot, name, blob, place, reason):
    """Boots an archive with this manifest; gives what is wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="capos-manifests-") as folder:
        dtb, archive = os.path.join(folder, "manifest.dtb"), os.path.join(folder, "boot.cpio")
        with open(dtb, "wb") as f:
            f.write(blob)
        subprocess.run([path("tools", "mkarchive"), archive, dtb,
                        *(path("build", "release", "stripped", p) for p in ("hello", "shell"))], check=True)
        guest = boot(archive=archive)
        code = guest.wait(30)
        line = next((l for l in guest.output.splitlines() if "manifest: refused" in l), "")
    if code != 3:
        return [f"{name}: ended with {code}, not 3"]
    if f"refused: {place}" not in line or reason not in line:
        return [f"{name}: expected '{place}' and '{reason}' in '{line.strip()}'"]
    return []


def prepare():
    code, text = make("build/release/stripped/hello", "build/release/stripped/shell", "-s", capture=True)
    assert code == 0, text


def test_good_one_boots(boot):
    prepare()
    with tempfile.TemporaryDirectory(prefix="capos-manifests-") as folder:
        dtb, archive = os.path.join(folder, "manifest.dtb"), os.path.join(folder, "boot.cpio")
        with open(dtb, "wb") as f:
            f.write(compile_tree(processes(process('args = "good";'))))
        subprocess.run([path("tools", "mkarchive"), archive, dtb, path("build", "release", "stripped", "hello")],
                       check=True)
        guest = boot(archive=archive)
        assert guest.wait(30) == 0, guest.output
        assert "argument 1: good" in guest.output, guest.output


def make_test(name, blob, place, reason):
    def test(boot):
        wrong = refuse(boot, name, blob(), place, reason)
        assert not wrong, wrong[0]
    return test


for name_, source_, place_, reason_ in BROKEN:
    globals()["test_" + name_.replace(" ", "_")] = make_test(name_, lambda s=source_: compile_tree(s), place_, reason_)
for name_, change_ in CUT:
    globals()["test_" + name_.replace(" ", "_")] = make_test(
        name_, lambda c=change_: c(compile_tree(processes(process()))), "", "")
