# SPDX-License-Identifier: MIT
"""Canaries of tools/errors: a test that is gone, an error that nobody declared or tests, a page that is stale."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def tree(tmp_path):
    for part in ("abi", "user", "lib", "docs", "tests/unit/dev"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


def change(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(tree):
    done = subprocess.run([ROOT / "tools/errors", "--check"], env={**os.environ, "CAPOS_TOP": str(tree)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout if done.returncode else ""


def test_good_as_it_is(tree):
    assert not problems(tree)


def test_a_test_is_gone(tree):
    change(tree / "user/proofs/usertests/notification.c", "FAILS(notification, signal, BAD_ARGUMENT, 0,", "(void)(0,")
    assert "notification.signal badArgument detail 0: no test by call" in problems(tree)


def test_one_way_only(tree):
    change(tree / "user/proofs/usertests/notification.c", "FAILS(notification, signal,", "FAILS_BY(CALL, notification, signal,")
    assert "notification.signal badArgument detail 0: no test by ring" in problems(tree)


def test_a_declaration_is_gone(tree):
    change(tree / "abi/capos/errors.h", 'E(notification, signal, BAD_ARGUMENT, 0, BOTH, "no bits")', "")
    assert "test of notification.signal" in problems(tree)


def test_an_error_without_a_test(tree):
    change(tree / "abi/capos/errors.h", 'E(notification, signal, BAD_ARGUMENT, 0, BOTH, "no bits")',
           'E(notification, signal, BAD_ARGUMENT, 0, BOTH, "no bits") E(notification, poll, DYING, 0, BOTH, "never")')
    assert "notification.poll dying detail 0: no test by ring" in problems(tree)


def test_what_stands_elsewhere_is_gone(tree):
    change(tree / "tests/unit/dev/devices.c", "static void test_no_entropy", "static void test_entropy")
    change(tree / "tests/unit/dev/devices.c", "cmocka_unit_test_setup(test_no_entropy", "cmocka_unit_test_setup(test_entropy")
    assert "there is no tests/unit/dev/devices.c: test_no_entropy" in problems(tree)


def test_a_stale_page(tree):
    change(tree / "docs/ERRORS.md", "# Errors", "# Mistakes")
    assert "run tools/errors" in problems(tree)
