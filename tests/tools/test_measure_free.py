# SPDX-License-Identifier: MIT
"""The release build is the same without the measure build's sites; and the comparison finds one that leaves something."""
import os

import pytest

from tool import ROOT, script

free = script("measure-free")


def test_statements_are_cut():
    assert free.cut("a;\n\tMEASURE_COUNT(cpu, x_y,\n\t\t      f(1) == 2);\nb;\n") == "a;\n\t\n\nb;\n"
    assert free.cut("#define MEASURE_COUNT(cpu, counter, n) ((void)0)\n") == "#define MEASURE_COUNT(cpu, counter, n) ((void)0)\n"
    assert free.cut("MEASURE_DO(u64 a = f());\n\tMEASURE_DO(g(a));") == "\n\t"


def test_parts_are_cut():
    text = "a\n#ifdef CAPOS_MEASURE\nb\n#ifdef X\nc\n#endif\n#else\nd\n#endif\n#ifdef X\ne\n#endif\n"
    assert free.cut(text) == "a\n\n\n\n\n\n\nd\n\n#ifdef X\ne\n#endif\n"


def test_all_sites_are_cut():
    for file in free.kernel_sources():
        with open(os.path.join(ROOT, file), encoding="utf-8") as f:
            text = f.read()
        left = [line for line in free.cut(text).split("\n") if "MEASURE_" in line and "#define" not in line]
        assert file.endswith("measure.h") or not [line for line in left if free.SITE.search(line)], (file, left)
        assert free.cut(text).count("\n") == text.count("\n")


def test_hot_code_is_the_same_without_the_sites(tmp_path):
    files = free.files_with_sites()
    assert {"kernel/sched/wake.c", "kernel/sched/dispatch.c", "kernel/cap/call.c", "kernel/ipc/endpoint_fast.c"} <= set(files)
    free.copy_tree(str(tmp_path))
    assert not free.differing(ROOT, str(tmp_path), free.objects_of(files))


@pytest.mark.parametrize("file, before, after", [
    ("kernel/sched/place.c", "MEASURE_COUNT(cpu, reschedule_ipi_scans, 1);", "cpu->ticks++;"),
    ("kernel/sched/switch_fast.c", "MEASURE_SITE(cpu, scheduler_lock_site_blocking);", "atomic_order(); cpu->lock_depth = 0;")])
def test_a_site_that_leaves_code_is_found(tmp_path, file, before, after):
    def change(text):
        return free.cut(text.replace(before, after))
    free.copy_tree(str(tmp_path), change)
    targets = free.objects_of([file])
    assert free.differing(ROOT, str(tmp_path), targets) == targets
