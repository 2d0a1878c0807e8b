# SPDX-License-Identifier: MIT
"""run-shell: every command of the shell, job control, line editing, history, completion."""
import re

from smoke import PROMPT, log_in


def run(guest, line, timeout=20):
    return guest.command(line, PROMPT, timeout)


def has(text, *patterns):
    for pattern in patterns:
        assert re.search(pattern, text), f"no {pattern!r} in {text!r}"


def test_login(guest):
    log_in(guest)
    guest.expect(PROMPT)


def test_help(guest):
    text = run(guest, "help")
    for name in ("help", "run", "jobs", "kill", "wait", "ps", "top", "cpus", "mem", "caps", "log", "trace", "uptime",
                 "logout", "poweroff"):
        has(text, rf"(?m)^\s*{name}\s")
    has(run(guest, "help kill"), "PID")
    has(run(guest, "help nothing"), "no command")


def test_tables(guest):
    has(run(guest, "ps"), r"\blogin\b", r"\binit\b", r"\bshell\b")
    has(run(guest, "threads"), r"running", r"receive")
    has(run(guest, "mem"), r"MiB")
    text = run(guest, "cpus")
    assert len(re.findall(r"(?m)^\s*\d+\s+\d+", text)) == guest.machine.cpus, text
    has(run(guest, "caps"), r"console", r"process_spawner", r"user_session")
    has(run(guest, "session"), r"operator")
    has(run(guest, "uptime"), r"up \d+:\d\d:\d\d")
    has(run(guest, "date"), r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d")
    has(run(guest, "log"), r"capOS")
    has(run(guest, "programs"), r"\bhello\b")


def test_echo_and_quotes(guest):
    has(run(guest, "echo one  'two  three' \"four\" fi\\ ve"), r"one two  three four fi ve")
    has(run(guest, "echo 'open"), r"quote")


def test_unknown(guest):
    has(run(guest, "nonsense"), r"no such command or program")
    has(run(guest, "run nonsense"), r"unknownProgram")


def test_foreground(guest):
    has(run(guest, "hello a b"), r"argument 1: a", r"argument 2: b")
    has(run(guest, "run hello c"), r"argument 1: c")
    has(run(guest, "child exit 7"), r"exit code 7")


def test_fault_of_a_child(guest):
    text = run(guest, "fault null")
    has(text, r"fault: page fault at address 0x0")
    has(run(guest, "echo alive"), r"alive")


def test_interrupt(guest):
    guest.sendline("spin 0")
    guest.expect_text("spin 0")
    guest.expect(r"\n")
    import time
    time.sleep(0.5)
    guest.control("c")
    guest.expect(r"\^C")
    guest.expect(r"interrupted|Ctrl-C")
    guest.expect(PROMPT)
    has(run(guest, "echo back"), r"back")


def test_interrupt_of_a_line(guest):
    guest.send("echo never")
    guest.expect_text("echo never")
    guest.control("c")
    guest.expect(PROMPT)
    has(run(guest, "echo fresh"), r"(?m)^fresh")


def test_jobs(guest):
    text = run(guest, "spin 0 &")
    pid = re.search(r"\[(\d+)\]", text)[1]
    has(run(guest, "jobs"), rf"\[{pid}\] spin 0")
    has(run(guest, "ps"), rf"(?m)^\s*{pid}\s.*\bspin\b")
    has(run(guest, f"kill {pid}"), r"killed, code 137")
    has(run(guest, "jobs"), r"no background jobs")
    has(run(guest, "kill 99999"), r"no job")
    has(run(guest, "kill"), r"usage")


def test_wait(guest):
    text = run(guest, "child exit 3 &")
    pid = re.search(r"\[(\d+)\]", text)[1]
    text += run(guest, f"wait {pid}")
    text += run(guest, "jobs")
    has(text, r"exit code 3")
    run(guest, "spin 1 &")
    has(run(guest, "wait", timeout=30), r"exit code 0|rounds")


def test_quotas(guest):
    has(run(guest, "run -m 1000000 hello"), r"quotaExceeded: memory")
    has(run(guest, "run -t 100000 hello"), r"quotaExceeded: threads")
    has(run(guest, "run -m many hello"), r"usage")
    has(run(guest, "run -c 0,1 hello c"), r"argument 1: c")
    has(run(guest, "run -c 900,901 hello"), r"no room")
    has(run(guest, "run -c 200,201 hello"), r"noCpu")
    has(run(guest, "run -c 0,x hello"), r"usage")


def test_top(guest):
    text = run(guest, "top -n 1", timeout=30)
    has(text, r"shell")


def tid_of(guest, program):
    """The thread of a program that runs: its process is the one of that name in ps."""
    pid = re.search(rf"(?m)^\s*(\d+)\s.*\b{program}\b", run(guest, "ps"))[1]
    return re.search(rf"(?m)^\s*(\d+)\s+{pid}\s", run(guest, "threads"))[1]


def test_sched(guest):
    text = run(guest, "sched")
    has(text, r"policy +eevdf", r"authority +every thread, weight up to 65536, class up to interactive",
        r"moves +wake \d+", r"\d+ admitted, \d+ denied")


def test_policy_and_why(guest):
    run(guest, "spin 0 &")
    tid = tid_of(guest, "spin")
    run(guest, f"policy {tid} weight 3072")
    run(guest, f"policy {tid} class batch")
    run(guest, f"policy {tid} request 2500")
    has(run(guest, f"why {tid}"), rf"thread {tid} of process \d+ (runs, on CPU|is runnable, and waits on CPU)",
        r"class batch, weight 3072, request 2500 us", r"run \d+ ms, selected \d+ times")
    has(run(guest, f"policy {tid} weight 0"), r"weightOutOfBounds")
    has(run(guest, f"policy {tid} weight 65537"), r"weightOutOfBounds")
    has(run(guest, f"policy {tid} request 1"), r"requestOutOfBounds")
    has(run(guest, f"policy {tid} class royal"), r"usage")
    has(run(guest, "policy 99999 weight 5"), r"noSuchThread")
    has(run(guest, f"why {tid}"), r"class batch, weight 3072, request 2500 us")
    login = tid_of(guest, "login")
    has(run(guest, f"why {login}"), r"waits for a call at an endpoint")
    has(run(guest, "why 99999"), r"no thread has the id")
    has(run(guest, "why me"), r"usage")
    pid = re.search(r"\[(\d+)\] spin", run(guest, "jobs"))[1]
    has(run(guest, "top -n 1", timeout=30), r"batch +3072")
    run(guest, f"kill {pid}")


def test_trace(guest):
    run(guest, "trace on call switch")
    run(guest, "echo traced")
    run(guest, "trace off")
    has(run(guest, "trace show -n 20", timeout=40), r"call|switch")


def test_history(guest):
    run(guest, "echo first")
    run(guest, "echo second")
    guest.send("\x1b[A\x1b[A")
    guest.expect_text("echo first")
    guest.send("\r")
    guest.expect(r"\n\s*first")
    guest.expect(PROMPT)
    has(run(guest, "history"), r"echo first", r"echo second")


def test_editing(guest):
    guest.send("echo ac\x1b[Db\x01\x05d\r")     # left, b, home, end, d
    guest.expect(r"\n\s*abcd")
    guest.expect(PROMPT)
    guest.send("echo wrong\x15echo right\r")     # Ctrl-U
    guest.expect(r"\n\s*right")
    guest.expect(PROMPT)


def test_completion(guest):
    guest.send("upt\t")
    guest.expect_text("uptime ")
    guest.send("\r")
    guest.expect(r"up \d+:")
    guest.expect(PROMPT)
    guest.send("hel\t\t")
    guest.expect("hello")
    guest.control("u")
    guest.send("\r")
    guest.expect(PROMPT)


def test_logout_ends_jobs(guest):
    run(guest, "spin 0 &")
    guest.sendline("logout")
    guest.expect(r"session \d+ ended")
    log_in(guest)
    guest.expect(PROMPT)
    assert not re.search(r"\bspin\b", run(guest, "ps")), "the job outlived its session"


def test_poweroff_with_a_code(guest):
    guest.sendline("poweroff 3")
    assert guest.wait() == 1
