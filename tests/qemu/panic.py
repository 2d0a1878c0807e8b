# SPDX-License-Identifier: MIT
"""run-panic: the kernel's last words, asked for on the command line: cause, CPU, registers, backtrace with names; code 2."""


def test_panic_report(boot):
    guest = boot(manifest="tour", cmdline="capos.panic=boot")
    guest.expect("KERNEL PANIC", timeout=60)
    assert guest.wait() == 2
    text = guest.output
    for part in ("asked for on the command line", "CPU 0", "rsp", "kernel_boot"):
        assert part in text, f"no '{part}' in:\n{text}"


def test_panic_by_an_exception(boot):
    guest = boot(manifest="tour", cmdline="capos.panic=exception")
    guest.expect("KERNEL PANIC", timeout=60)
    assert guest.wait() == 2
    text = guest.output
    for part in ("page fault", "cr2", "kernel_boot"):
        assert part in text.lower(), f"no '{part}' in:\n{text}"
