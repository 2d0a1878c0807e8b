# SPDX-License-Identifier: MIT
"""The unit test of channels under ThreadSanitizer: their memory order is enough for the C memory model, not only for x86."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = ("tests/unit/user/channel.c", "user/lib/channel.c")


def run(tmp_path, *flags):
    program = tmp_path / "channel"
    subprocess.run(["clang-19", "-std=gnu17", "-O1", "-g", "-fsanitize=thread", "-DWITHOUT_SCRIBBLES", "-Iuser/include", *flags,
                    "-o", program, *SOURCES, "-lcmocka"], cwd=ROOT, check=True)
    return subprocess.run(["setarch", "-R", program], text=True, capture_output=True, timeout=300, check=False)


def test_no_races(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_plain_sequence_is_found(tmp_path):
    """The canary: without release a receiver may see the slot before its data."""
    done = run(tmp_path, "-DCHANNEL_PUBLISH=__ATOMIC_RELAXED")
    assert "data race" in done.stderr
