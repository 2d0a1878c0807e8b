# SPDX-License-Identifier: MIT
"""The benchmarks' own tests: what guests print, the csv, the stretches, the choice of Linux's package."""

import pytest

from tool import script
from capos import bench


costs, irq_off, boot, hackbench, latency, budget = map(
    script, ("bench-costs", "bench-irq-off", "bench-boot", "bench-hackbench", "bench-latency", "bench-budget"))


def sample(median, low=None, high=None):
    return {"samples": 9, "median": median, "min": low or median, "max": high or median}


def test_costs_are_parsed_between_other_lines():
    text = "boot\ncost name=null_call samples=9 median=80 min=79 max=90\nx cost name=no samples=1 median=1\ncost-done\n"
    assert costs.parse(text) == {"null_call": sample(80, 79, 90)}


def test_every_row_of_the_issue_has_its_target():
    table = {"null_call": 80, "ipc_rt_0": 420, "ipc_rt_4": 450, "ipc_rt_8": 500, "ipc_rt_active": 900, "stale_call": 150,
             "fault_rt": 1000, "park_rt": 1000, "yield_switch": 300, "ring_nop_32": 70, "ring_nop_1": 250,
             "thread_create_join": 5000, "process_spawn_wait": 45000, "timer_wake_max": 1500,
             "timer_wake_storm_max": 6000, "timer_irq": 180, "irq_off_max": 4000, "preempt_switch": 450,
             "wake_hog_interactive_max": 2500,
             "donate_rt_0": 500, "donate_rt_8": 580, "nest_level": 520, "throttle_replenish": 700, "throttle_replenish_alone": 700,
             "context_bind": 300, "context_revoke": 300}
    assert {name: costs.TARGETS[name][0] for name in table} == table


def test_rows_made_of_others():
    rows = {f"nest_{n}": sample(500 * n + (n == 3)) for n in range(1, costs.NESTED + 1)}
    rows.update(context_throttle=sample(300, 200, 400), context_replenish=sample(200, 100, 300),
                preempt_switch=sample(120, 110, 130))
    costs.derive(rows)
    assert rows["nest_level"] == {"median": 501, "min": 499, "max": 501}
    assert rows["throttle_replenish"] == {"median": 500, "min": 300, "max": 700}
    assert rows["throttle_replenish_added"] == {"median": 260, "min": 60, "max": 460}


def test_ticks_beside_throttled_threads_are_compared_with_those_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "OUT", str(tmp_path))
    for throttled, verdict in ((210, " met"), (211, "missed")):
        costs.report({"timer_irq": sample(200), "timer_irq_throttled": sample(throttled)}, {}, "not run")
        assert verdict in capsys.readouterr().out.splitlines()[-3]


def test_pinned_servers_are_compared_with_active_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "OUT", str(tmp_path))
    for apart, verdict in ((1150, " met"), (1151, "missed")):
        costs.report({"across_budget_rt": sample(1000), "apart_budget_rt": sample(apart), "across_rt": sample(900)}, {}, "not run")
        assert verdict in capsys.readouterr().out.splitlines()[-3]


def test_csv(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "OUT", str(tmp_path))
    costs.report({"null_call": sample(100, 90, 110), "timer_wake_max": sample(1000, 900, 1501), "irq_off_max": sample(4000)},
                 {"null_call": sample(300), "timer_wake_max": sample(1, 1, 3002)}, "6.12")
    assert (tmp_path / "costs.json").exists()
    assert (tmp_path / "costs.csv").read_text() == (
        "operation,instructions_median,instructions_min,instructions_max,linux,ratio\n"
        "null_call,100,90,110,300,3.0\n"
        "timer_wake_max,1000,900,1501,3002,2.0\n"
        "irq_off_max,4000,4000,4000,,\n")
    table = capsys.readouterr().out
    assert "2 over target: null_call, timer_wake_max" in table and table.count("missed") == 2 and table.count(" met") == 1


def test_hackbench_against_linux(tmp_path, monkeypatch, capsys):
    line = "hackbench name={} messages=10 instructions={} right=1\n"
    monkeypatch.setattr(hackbench, "OUT", str(tmp_path))
    ours = hackbench.parse("boot\n" + line.format("endpoint_threads", 6001) + line.format("channel_2", 2000))
    hackbench.report(ours, hackbench.parse(line.format("pipe_threads", 12000) + line.format("channel_2", 8000)), "6.12")
    assert (tmp_path / "hackbench.json").exists()
    assert (tmp_path / "hackbench.csv").read_text().splitlines()[1:] == [
        "endpoint_threads,600,pipe_threads,1200,0.5,0.5", "channel_2,200,channel_2,800,0.25,0.333"]
    assert "1 over target: endpoint_threads" in capsys.readouterr().out


def test_hackbench_wants_what_was_sent():
    with pytest.raises(SystemExit):
        hackbench.parse("hackbench name=channel_2 messages=10 instructions=20 right=0\n")


def test_hackbench_knows_its_cases():
    assert [name for name in hackbench.cases() if not name.startswith("pipe")] == list(hackbench.CASES)


def test_latencies_of_rounds(capsys):
    line = "latency name={} samples=9 p50={} p99=20 p999=30 max={}\n"
    pairs = [(latency.parse(line.format("timer_fast", ours, 2501)), latency.parse("x\n" + line.format("timer_fast", linux, 5002)))
             for ours, linux in ((10, 20), (30, 20), (20, 20))]
    table = list(latency.rows(1, pairs))
    assert [(row["percentile"], row["capos"], row["linux"], row["ratio"], row["target"]) for row in table] == [
        ("p50", 20, 20, 1.0, None), ("p99", 20, 20, 1.0, None), ("p999", 30, 30, 1.0, None), ("max", 2501, 5002, 0.5, 2500)]
    latency.report(table, 3)
    assert "1 over target: timer_fast" in capsys.readouterr().out
    assert not [row for row in latency.rows(2, pairs) if row["target"]]


def test_stretches_are_parsed():
    assert irq_off.parse("stretches 12 longest 300\nkind 300 2 f=200 g.part.0=100\nkind 250 1 f=250\n") == (
        12, 300, [(300, 2, {"f": 200, "g.part.0": 100}), (250, 1, {"f": 250})])


@pytest.mark.parametrize("names, best", [
    (["linux-image-6.12.9+deb12-cloud-amd64", "linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12-cloud-amd64",
      "linux-image-6.12.200+deb12-amd64"], "linux-image-6.12.117+deb12-cloud-amd64"),
    (["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64"], "linux-image-6.1.0-56-cloud-amd64"),
    ([], None),
])
def test_the_newest_kernel_package(names, best):
    assert bench.newest(names) == best


def test_linux_boots_on_our_machine():
    command = bench.linux_command("vmlinuz", [("init", b"x")], bench.qemu.Machine(cpus=1, icount=True))
    ours = bench.qemu.Machine(cpus=1, icount=True).command("")
    for option in ("-machine", "-cpu", "-accel", "-smp", "-m", "-icount"):
        assert command[command.index(option) + 1] == ours[ours.index(option) + 1]
    assert "tsc=reliable" in command[-1] and "mitigations=off" in command[-1]


def test_boot_is_timed_until_the_text():
    assert boot.until(["sh", "-c", "printf 'a first '; printf 'line'; sleep 9"], b"first line") < 9
    with pytest.raises(SystemExit):
        boot.until(["sh", "-c", "echo other"], b"first line")


@pytest.mark.parametrize("ran, used, holds", [
    ((198000, 200000), (199000, 200000), True), ((197999, 200000), (199000, 200000), False),
    ((198000, 200001), (199000, 200000), False), ((198000, 200000), (199000, 200001), False)])
def test_bursts_within_their_bounds(ran, used, holds):
    text = "".join(f"burst case=200us_1ms begin={i} span={r + 5} ran={r}\n" for i, r in enumerate(ran))
    text += "".join(f"charged case=200us_1ms at={i}000000 used={u}\n" for i, u in enumerate((0, used[0], sum(used))))
    row, = budget.exact_rows(*budget.parse(text), {"200us_1ms": [(0, 7, 7)]}, 3000)
    assert (row["holds"], row["used_max"], row["span_max"], row["linux_max"], row["hrtick_max"]) == (holds, max(used), max(ran) + 5, 7, None)


@pytest.mark.parametrize("last, holds", [(203000, True), (203001, False)])
def test_any_window_of_a_period(last, holds):
    samples = [(0, 0), (500000, 100), (1000000, 50000), (1500000, 100 + last)]  # the first and the last are more than a period apart
    row, = budget.exact_rows({}, {"200us_1ms_memory": samples}, {}, 3000)
    assert row["used_max"] == last and row["holds"] is holds


@pytest.mark.parametrize("ours, theirs, kept", [((5100,), (6000,), True), ((5101,), (6000,), False), ((4000, 4000, 4900, 5100), (1, 2, 3, 7000), True),
                                                ((4000, 4000, 4900, 5201), (1, 2, 3, 7000), False)])
def test_overshoot_beside_linux(ours, theirs, kept):
    rows = list(budget.wall_rows([{name: [(0, us * 2000, us * 1000) for us in spans] for name, spans in (("capOS", ours), ("Linux", theirs))}]))
    assert budget.verdict_wall(rows) is kept
    assert budget.verdict_wall(rows[:1]) is None
