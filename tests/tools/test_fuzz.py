# SPDX-License-Identifier: MIT
"""The fuzzer finds a bug that is planted (tests/fuzz/canary.c), from no corpus, and nothing where nothing is planted."""
import os
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FUZZ = os.path.join(ROOT, "build", "fuzz")


def fuzz(folder, runs, **more):
    return subprocess.run([os.path.join(FUZZ, "capos-fuzz"), "-seed=1", f"-runs={runs}", "-timeout=0", "-rss_limit_mb=0",
                           "-max_len=8200", "-len_control=0", "-handle_segv=0", f"-artifact_prefix={folder}/"],
                          env={**os.environ, "CAPOS_FUZZ_ARCHIVE": os.path.join(FUZZ, "boot.cpio"), **more}, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)


@pytest.fixture(scope="module", autouse=True)
def fuzzer():
    subprocess.run(["make", "-s", "-C", ROOT, "build/fuzz/capos-fuzz", "build/fuzz/boot.cpio"], check=True)


def test_nothing_planted_nothing_found(tmp_path):
    assert fuzz(tmp_path, 50).returncode == 0


def test_planted_leak_is_found(tmp_path):
    done = fuzz(tmp_path, 1000, CAPOS_FUZZ_PLANT="drop")
    assert done.returncode != 0
    assert "not ok 3 - kernel objects" in done.stdout
    cases = [f for f in os.listdir(tmp_path) if f.startswith("crash-")]
    assert len(cases) == 1
