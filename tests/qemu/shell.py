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
    for name in ("help", "run", "jobs", "kill", "wait", "ps", "top", "cpus", "mem", "caps", "log", "trace", "sc", "uptime",
                 "exit", "logout", "poweroff"):
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


def pid_of(text):
    return re.search(r"\[(\d+)\]", text)[1]


def test_budgets(guest):
    has(run(guest, "sc info"), r"(?m)^context +1s/1s +sporadic +throttle +unbound")
    run(guest, "sc create video 5ms 50ms")
    has(run(guest, "sc info"), r"(?m)^video +5ms/50ms +sporadic +throttle +unbound +- +0\.000 +5ms +0")
    pid = pid_of(run(guest, "run -s video spin 0 &"))
    tid = tid_of(guest, "spin")
    has(run(guest, "sc info video"), r"video: context \d+, 5ms/50ms, 10.0 % of a CPU, due after 50ms, sporadic, throttle",
        rf"thread {tid}, (throttled until \d+\.\d+ s since boot, \d+ us from now|bound)")
    text = run(guest, "top -n 3", timeout=30)
    has(text, r"BUDGET +%SPENT +LEFT", r"spin .* 5ms/50ms +\d+\.\d")
    share = [int(n) for n in re.findall(r"spin +(\d+)\.\d ", text)]
    assert share and share[-1] <= 30, f"a tenth of a CPU, and top shows {share} %"
    # Nine in ten looks find it throttled.
    for _ in range(20):
        text = run(guest, f"why {tid}")
        has(text, r"budget of its own, context \d+: 5ms/50ms, throttle, (used up; throttled until|\d+.s left)")
        if "is throttled: what it runs on has used up its budget" in text:
            break
    has(text, r"is throttled", r"used up; throttled until \d+\.\d+ s since boot, \d+ us from now")
    has(run(guest, "sc drain video"), r"depletions +[1-9]\d* since the last drain", r"the last one at .* thread " + tid)
    has(run(guest, f"sc bind video {pid}"), r"sc: bind: alreadyBound: it has a thread")
    run(guest, "sc unbind video")
    has(run(guest, "sc unbind video"), r"unbind: notBound")
    has(run(guest, "sc info video"), r"unbound")
    run(guest, f"sc bind video {tid}")
    has(run(guest, "sc info video"), rf"thread {tid}, ")
    run(guest, "sc revoke video")        # while it runs
    has(run(guest, "jobs"), rf"\[{pid}\] spin 0")
    for line in ("sc info video", "sc unbind video", f"sc bind video {pid}", "sc revoke video", "sc drain video"):
        has(run(guest, line), r": revoked")
    has(run(guest, f"why {tid}"), r"(runs, on CPU|is runnable)")
    run(guest, "sc create video 1ms 10ms kind cbs deadline 8ms overrun throttle")   # the name is free again
    has(run(guest, "sc info video"), r"1ms/10ms, 10.0 % of a CPU, due after 8ms, cbs")
    run(guest, f"kill {pid}")
    has(run(guest, f"sc bind video {pid}"), r"is no job of this shell")


def test_cpus_of_a_budget(guest):
    run(guest, "sc create here 5ms 50ms cpus 1")
    has(run(guest, "sc info here"), r"sporadic, throttle, CPU 1\s")
    pid = pid_of(run(guest, "run -s here spin 0 &"))
    for _ in range(3):
        has(run(guest, f"why {tid_of(guest, 'spin')}"), r"on CPU 1")
    has(run(guest, "run -s here -c 0 hello"), r"alreadyBound|cpuMaskMismatch")
    run(guest, f"kill {pid}")
    has(run(guest, "run -s here -c 0 hello"), r"cpuMaskMismatch")
    run(guest, "sc revoke here")
    run(guest, "sc create here 5ms 50ms cpus 0,1")
    assert "CPU 0" not in run(guest, "sc info here"), "it is for all of them"
    run(guest, "sc revoke here")


def test_lent_budget(guest):
    run(guest, "sc create lent 200ms 1s overrun notify")
    pid = pid_of(run(guest, "run -s lent child lend &"))
    for _ in range(20):
        info = re.search(r"thread (\d+), .*lent to thread (\d+)", run(guest, "sc info lent"))
        if info:
            break
    caller, server = info.groups()
    assert caller != server and {caller, server} == set(re.findall(rf"(?m)^\s*(\d+)\s+{pid}\s", run(guest, "threads")))
    has(run(guest, f"why {caller}"), rf"budget of its own, .* 200ms/1s, notify, .*; lent to thread {server} along a call")
    has(run(guest, f"why {server}"), rf"budget of its caller, .* 200ms/1s, notify, .*; lent by thread {caller}")
    has(run(guest, "top -n 1", timeout=30), rf"(?m)^ *{caller} .* 200ms/1s .*lent to {server} ")
    for _ in range(20):
        text = run(guest, "sc drain lent")
        if re.search(r"depletions +[1-9]", text):
            break
    has(text, rf"the last one at .* thread {server} \(lent\)")
    run(guest, f"kill {pid}")
    run(guest, "sc revoke lent")


def test_suspended_job(guest):
    run(guest, "sc create halted 2ms 20ms overrun suspend")
    has(run(guest, "sc resume halted"), r"sc: resume: notSuspended")
    pid = pid_of(run(guest, "run -s halted spin 0 &"))
    for _ in range(20):
        if "suspended" in run(guest, "sc info halted"):
            break
    tid = tid_of(guest, "spin")
    has(run(guest, f"why {tid}"), r"budget of its own, .* suspend, used up; suspended until `sc resume`")
    has(run(guest, "sc info"), r"(?m)^halted .* suspend +suspended")
    run(guest, "sc resume halted")
    has(run(guest, "sc info halted"), r"thread \d+, \w+", r"used \d+\.\d+ s")
    run(guest, f"kill {pid}")
    run(guest, "sc revoke halted")


def test_budget_of_a_job(guest):
    pid = pid_of(run(guest, "run -b 2ms/20ms spin 0 &"))
    has(run(guest, "sc info"), rf"(?m)^job{pid} +2ms/20ms")
    run(guest, f"kill {pid}")
    assert f"job{pid}" not in run(guest, "sc info"), "it goes with its job"
    has(run(guest, "run -b 10ms/10ms child exit 7"), r"exit code 7")
    assert not re.search(r"(?m)^job", run(guest, "sc info"))


def test_bad_budgets(guest):
    for line, words in (("sc", "usage: sc create"), ("sc frobnicate x", "usage: sc"), ("sc create a 5ms", "usage"),
                        ("sc create a 5 50ms", "budget '5' is not a whole number and its unit"), ("sc create a 5ms 2h", "period '2h' is not"),
                        ("sc create a 5ms 50ms kind odd", "kind 'odd' is not sporadic, periodic, or cbs"), ("sc create a 5ms 50ms frob 1", "no option 'frob'"),
                        ("sc create a 5ms 50ms kind", "usage"), ("sc create a 5ms 50ms cpus 0,", "cpus '0,' is not CPUs, like 0,2"),
                        ("sc create a 5ms 50ms cpus 9", "invalidMask: no such CPU"), ("sc create a 5ms 50ms cpus 99999", "is not CPUs"),
                        ("sc create a 5ms 99999999999999999999s", "is not a whole number"),
                        ("sc create a 50ms 5ms", "badArgument: the budget is greater than the period"),
                        ("sc create a 9us 1ms", "budgetTooSmall: less than 10us"), ("sc create a 1s 3601s", "period is more than an hour"),
                        ("sc create a 5ms 50ms deadline 51ms", "deadline is 0, or behind the period"),
                        ("sc create video 5ms 50ms", "'video' is taken"), ("sc create context 5ms 50ms", "taken"), ("sc revoke context", "is the one that this shell was given"),
                        ("sc create a-name-of-16-byt 5ms 50ms", "too long"), ("sc info nobody", "no context has the name"),
                        ("sc revoke nobody", "no context has the name"), ("sc bind nobody 1", "no context"),
                        ("sc bind video 1", "is no job"), ("sc bind video me", "usage"), ("sc bind video", "usage"),
                        ("run -s nobody hello", "no context has the name"), ("run -b 5ms hello", "budget '5ms' is not BUDGET/PERIOD"),
                        ("run -b 9us/1ms hello", "budgetTooSmall"), ("run -b 1ms/1ms -s video hello", "usage"),
                        ("run -b 1ms/2ms nonsense", "unknownProgram")):
        text = run(guest, line)
        assert words in text, f"{line}: {text!r}"
    pid = pid_of(run(guest, "run -s video spin 0 &"))
    has(run(guest, "run -s video hello"), r"its context: alreadyBound")
    run(guest, f"kill {pid}")
    run(guest, "sc revoke video")
    has(run(guest, "run -s video hello"), r"its context: revoked")


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


def session_ends(guest, leave):
    """What the kernel's log says when the shell has been left in that way: the session's threads had no contexts."""
    session = re.search(r"session (\d+)", run(guest, "session"))[1]
    leave()
    guest.expect(rf"session {session} ended")
    log_in(guest)
    guest.expect(PROMPT)
    lines = re.findall(rf"session logout session={session} (.*)", run(guest, "log 100"))
    assert [line.strip() for line in lines] == ["stale_marked=0 donation_inflight_skipped=0"], lines


def test_exit_logs_out(guest):
    session_ends(guest, lambda: guest.sendline("exit"))


def test_closed_terminal_logs_out(guest):
    session_ends(guest, lambda: guest.control("d"))


def test_poweroff_with_a_code(guest):
    guest.sendline("poweroff 3")
    assert guest.wait() == 1
