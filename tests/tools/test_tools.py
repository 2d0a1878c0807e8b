# SPDX-License-Identifier: MIT
"""The tools' own tests: TAP, plans, the archive, the header levels, the exit codes, the pool."""
import os
import subprocess

import pytest

from tool import ROOT, script
from capos import plan, pool, proof, qemu, tap


def test_tap_counts_programs_between_other_lines():
    report = tap.parse("boot\n# program a\nok 1 - x\r\nlog ok 5\n[ 0.1] ok 2 - y # SKIP no\n1..2\n"
                       "# program b\n1..1\nok 1\n")
    assert [p.name for p in report.programs] == ["a", "b"]
    assert report.passed() == 3 and report.failures() == [] and report.planned()


@pytest.mark.parametrize("text, word", [
    ("ok 1 - a\n", "no plan"),
    ("1..2\nok 1 - a\n", "plan 1..2, but 1"),
    ("1..2\nok 1 - a\nok 3 - b\n", "plan 1..2, but 2"),
    ("not ok 1 - a\n1..1\n", "not ok 1 - a"),
    ("1..2\nok 1\nok 1\n", "twice"),
    ("1..1\nok 1\nBail out! why\n", "bail out: why"),
    ("# program a\n1..1\n# program b\n1..1\nok 1\n", "a: plan 1..1, but 0"),
])
def test_tap_failures(text, word):
    assert any(word in failure for failure in tap.parse(text).failures())


def test_silence_is_no_proof():
    assert proof.judge_output("hello\n", need_plan=True)[1]
    assert proof.judge_output("1..0\n", need_plan=True)[1]


def test_exit_codes():
    assert [qemu.outcome(c) for c in (33, 35, 37, 39, 0, 1, None, -9)] == [0, 1, 2, 3, 5, 5, 5, 5]


def test_plan_refuses_typos(tmp_path):
    table = tmp_path / "plan.txt"
    table.write_text("# c\nsmoke cpus=1,2  # more\n\niso\n")
    first, second = plan.read(str(table), {"cpus"})
    assert first.numbers("cpus") == [1, 2] and second.numbers("cpus", "4") == [4]
    table.write_text("smoke cpu=1\n")
    with pytest.raises(SystemExit):
        plan.read(str(table), {"cpus"})


def test_archive_is_aligned_and_read_by_cpio(tmp_path):
    files = {"manifest.dtb": b"m" * 5000, "a": b"", "b": b"b" * 4096, "long-name-of-a-program": b"x"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    out = tmp_path / "boot.cpio"
    command = [os.path.join(ROOT, "tools", "mkarchive"), str(out)] + [str(tmp_path / n) for n in files]
    subprocess.run(command, check=True)
    first = out.read_bytes()
    listing = subprocess.run(["cpio", "-t", "--quiet"], input=first, capture_output=True, check=True).stdout
    assert listing.decode().split() == ["manifest.dtb", "a", "b", "long-name-of-a-program"]
    for data in (b"m" * 5000, b"b" * 4096):
        assert first.find(data) % 4096 == 0
    assert len(first) % 4096 == 0
    subprocess.run(command, check=True)
    assert out.read_bytes() == first


@pytest.mark.parametrize("file, quote, name, good", [
    ("kernel/sched/x.c", "<", "stdint.h", True),
    ("kernel/sched/x.c", "<", "stdio.h", False),
    ("kernel/sched/x.c", "<", "cap_priv.h", False),
    ("kernel/sched/x.c", "<", "mach/mach.h", True),
    ("lib/x.c", "<", "mach/mach.h", False),
    ("user/bin/x.c", "<", "kernel/types.h", False),
    ("abi/capos/x.h", "<", "lib/list.h", False),
    ("mach/sim/x.c", "<", "stdio.h", True),
])
def test_header_levels(file, quote, name, good):
    checker = script("check-headers")
    assert (checker.check_include(file, file.split("/")[0], quote, name) is None) == good


def test_globals_are_found(tmp_path):
    source = tmp_path / "g.c"
    source.write_text("int kernel_state; int bad = 1; static const int fine = 2; int f(void);\n"
                      "int f(void) { static int hidden; return fine + hidden++; }\n")
    subprocess.run(["gcc", "-c", "-o", str(tmp_path / "g.o"), str(source)], check=True)
    done = subprocess.run([os.path.join(ROOT, "tools", "check-globals"), str(tmp_path / "g.o")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert sorted(line.split()[-1].split(".")[0] for line in done.stdout.splitlines()) == ["bad", "hidden"]


def test_pool_keeps_its_width():
    running, most, seen = 0, 0, []
    import threading
    import time
    lock = threading.Lock()

    def job(weight):
        nonlocal running, most
        with lock:
            running += weight
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= weight
        return weight

    pool.run([(w, lambda w=w: job(w)) for w in (1, 1, 2, 1, 2, 1)], 2, seen.append)
    assert sorted(seen) == [1, 1, 1, 1, 2, 2] and most <= 2


def test_failing_guest_output_names_the_rerun():
    case = proof.Case("smoke", qemu.Machine(cpus=4, boot="uefi", build="debug"), 60, 0)
    words = str(proof.Verdict(case.label(), case.rerun(), 1, ["not ok 2"], 1.0, "text", ""))
    assert "again: tools/prove smoke --cpus 4 --boot uefi --build debug" in words
