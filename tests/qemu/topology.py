# SPDX-License-Identifier: MIT
"""run-topology: packages, last-level caches, cores, SMT siblings and APIC ids that the kernel found, against what QEMU was told."""
import itertools
import re

CPU = re.compile(r"# cpu (\d+) apic (\d+) package (\d+) cache (\d+) core (\d+) thread (\d+)")
# Packages, cores, threads. Not only powers of two: then APIC ids have holes.
SHAPES = [(1, 1, 1), (1, 2, 1), (1, 1, 2), (2, 1, 1), (2, 2, 2), (1, 3, 2), (3, 2, 1), (2, 4, 2)]


def bits(count):
    return (count - 1).bit_length()


def found(boot, shape, model):
    packages, cores, threads = shape
    cpus = packages * cores * threads
    guest = boot(cpus=cpus, topology="x".join(map(str, shape)), cpu_model=model)
    assert guest.wait(60) == 0, guest.output[-2000:]
    assert f"topology: packages={packages} " in guest.output and f" threads={cpus} online={cpus}" in guest.output
    lines = [tuple(map(int, m)) for m in CPU.findall(guest.output)]
    assert [line[0] for line in lines] == list(range(cpus)), lines
    return guest.output, lines


def check(boot, shape, model, siblings):
    packages, cores, threads = shape
    output, lines = found(boot, shape, model)
    thread_bits = bits(threads)
    package_bits = bits(cores) + thread_bits
    ids = sorted(p << package_bits | c << thread_bits | t
                 for p, c, t in itertools.product(range(packages), range(cores), range(threads)))
    assert sorted(line[1] for line in lines) == ids, (shape, model, lines)
    for _, apic, package, _, core, thread in lines:
        assert package == apic >> package_bits, (shape, model, lines)
        if siblings:
            assert (core, thread) == (apic >> thread_bits, apic & ((1 << thread_bits) - 1)), (shape, model, lines)
    if siblings:
        assert f" cores={packages * cores} " in output, output
    # Neighbours have consecutive numbers.
    for field in (2, 3) + ((4,) if siblings else ()):
        runs = [key for key, _ in itertools.groupby(line[field] for line in lines)]
        assert len(runs) == len(set(runs)), (shape, model, lines)


def test_by_levels(boot):
    for shape in SHAPES:
        check(boot, shape, "max", True)


def test_by_counts(boot):
    """Processors without leaf 0xB: leaves 1 and 4."""
    for shape in SHAPES:
        check(boot, shape, "qemu64,level=4,vendor=GenuineIntel", True)


def test_by_counts_of_amd(boot):
    """Leaf 0x80000008 tells about CPUs of a package, not which of them are siblings."""
    for shape in SHAPES:
        check(boot, shape, "qemu64,level=1,vendor=AuthenticAMD", False)
