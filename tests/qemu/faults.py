# SPDX-License-Identifier: MIT
"""run-faults: what the guest checks itself (user/proofs/faultstest.c), and the kernel's report lines."""
import re

REPORTS = [
    ("null", r"page fault at address 0x0 ip"),
    ("wild", r"page fault at address 0x123456789000 ip"),
    ("kernel", r"page fault at address 0xffffffff80000000 ip"),
    ("privileged and port", r"(?s)(privileged instruction.*){2,}"),
    ("divide", r"divide error"),
    ("opcode", r"(undefined|invalid) (instruction|opcode)"),
    ("breakpoint", r"breakpoint"),
]


def test_guest(guest):
    assert guest.wait(60) == 0, guest.output[-2000:]
    passed, failures = guest.tap()
    assert passed > 15 and not failures, failures


def test_reports(guest):
    text = "\n".join(line for line in guest.output.splitlines() if "fault: process" in line)
    for what, pattern in REPORTS:
        assert re.search(pattern, text), f"no report of {what} in:\n{text}"
    for line in text.splitlines():
        assert re.search(r"fault: process \S+ \(\d+\) thread \d+: .* at address 0x[0-9a-f]+ ip 0x[0-9a-f]+", line), line


def test_data_and_code(guest):
    """Executing data: the address is the instruction's; writing code: it lies in the image."""
    text = guest.output
    assert re.search(r"page fault at address (0x[0-9a-f]+) ip \1", text), "no execution of data"
