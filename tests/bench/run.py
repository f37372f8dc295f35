# SPDX-License-Identifier: Apache-2.0
"""Takes all figures of docs/performance.md: `scripts/bench [--callgrind]` builds what this needs. Nothing else should run meanwhile."""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import workspaces

BUILD = pathlib.Path(sys.argv[1]).resolve()
BENCH = BUILD / "tests" / "bench"
HOME = tempfile.TemporaryDirectory(prefix="conclave-bench-")
ENV = {**{k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}, "CONCLAVE_HOME": HOME.name, "NO_COLOR": "1"}


def run(*args):
    """Wall and CPU seconds and peak MiB of one process."""
    start = time.perf_counter()
    p = subprocess.Popen([str(a) for a in args], env=ENV, cwd=HOME.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    err = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit(f"{args[0]} ended with {p.returncode}: {err[-2000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def median(times, *args):
    taken = [run(*args) for _ in range(times)]
    return [statistics.median(t[i] for t in taken) for i in range(3)]


def row(what, figure, target=""):
    print(f"{what:<62} {figure:>26}   {target}", flush=True)


def config(agents):
    path = pathlib.Path(HOME.name) / "team.json"
    path.write_text(json.dumps({"agents": agents}))
    return path


def scripted(n):
    return config([{"id": f"m{i}", "backend": {"type": "scripted", "steps": [{"answer": f"answer {i}"}, {"vote": "agent1", "reason": "fine"},
                                                                            {"text": "the end", "optional": True}]}} for i in range(n)])


class Server:
    def __init__(self, **settings):
        self.process = subprocess.Popen([BENCH / "stream_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **{f"STREAM_{k.upper()}": str(v) for k, v in settings.items()}})
        self.url = f"http://127.0.0.1:{int(re.search('[0-9]+', self.process.stdout.readline()).group())}/v1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def over_http(n, url):
    return config([{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": "load", "base_url": url, "api_key": "x"}} for i in range(n)])


def streams(*args):
    out = subprocess.run([BENCH / "engine_streams", *map(str, args), "1", "0"], env=ENV, capture_output=True, text=True, check=True).stdout
    found = re.search(r"complete (\d+), (\d+) chunks/s, CPU ([\d.]+) s = ([\d.]+) us/chunk, p50 (\d+) us, p99 (\d+) us, max (\d+) us, "
                      r"([\d.]+) KiB", out)
    keys = ("complete", "rate", "cpu", "per_chunk", "p50", "p99", "max", "kib")
    return dict(zip(keys, map(float, found.groups())))


def beside_bare_client():
    """CPU seconds per chunk of a client of libcurl and nlohmann/json alone, and of a run with a display and one reader more: the same calls
    to the same server, 3 agents, chunks 4 ms apart; slope between 100 and 700 chunks a call, medians of 9 in turns."""
    few, many = 100, 700
    taken = {}
    with Server(chunks=few, rate=250) as a, Server(chunks=many, rate=250) as b:
        for _ in range(9):
            for n, s in ((few, a), (many, b)):
                taken.setdefault(("bare", n), []).append(run(BENCH / "bare_client", f"{s.url}/chat/completions", 3)[1])
                taken.setdefault(("ours", n), []).append(run(BENCH / "followed_run", s.url, 3)[1])
    middle = {k: statistics.median(v) for k, v in taken.items()}
    return [(middle[who, many] - middle[who, few]) / (7 * (many - few)) for who in ("bare", "ours")]


def futex_calls():
    """Per chunk of such a run."""
    few, many = 100, 700
    seen = {}
    for n in (few, many):
        with Server(chunks=n, rate=250) as s:
            out = pathlib.Path(HOME.name) / "strace"
            subprocess.run(["strace", "-f", "-c", "--seccomp-bpf", "-e", "trace=futex", "-o", out, BENCH / "followed_run", s.url, "3"], env=ENV,
                           capture_output=True, check=True)
            seen[n] = next(int(line.split()[3]) for line in out.read_text().splitlines() if line.endswith(" futex"))
    return (seen[many] - seen[few]) / (7 * (many - few))


def resumed(binary):
    """Wall and CPU seconds from the start of the process to the first call of a long task that is gone on with."""
    stored, home = pathlib.Path(HOME.name) / "long", pathlib.Path(HOME.name) / "resumed"
    if not stored.exists():
        stored.mkdir(mode=0o700)
        subprocess.run([BENCH / "resume_store", stored], env=ENV, stderr=subprocess.DEVNULL)  # it kills itself
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(stored, home)
    start = time.perf_counter()
    p = subprocess.Popen([binary, "resume", "last", "--json"], env={**ENV, "CONCLAVE_HOME": home}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if not any(b'"call_started"' in line for line in p.stdout):
        sys.exit("the stored task cannot be resumed")
    wall = time.perf_counter() - start
    p.kill()
    usage = os.wait4(p.pid, 0)[2]
    p.returncode = -9
    return wall, usage.ru_utime + usage.ru_stime


def counted(*command):
    """Instructions of one program, and what it prints."""
    out = pathlib.Path(HOME.name) / "callgrind"
    p = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *map(str, command)], env=ENV, capture_output=True,
                       text=True, check=True)
    return int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1)), p.stdout


def a_chunk(readers):
    few, many = (counted(BENCH / "engine_streams", 1, n, 200, readers)[0] for n in (200, 2000))
    return (many - few) / 1800


def an_event(dialect):
    """Instructions an event and a byte to decode a stream of 200 events."""
    (few, _), (many, said) = (counted(BENCH / "decoders", dialect, n) for n in (5, 25))
    stream = (many - few) / 20
    return stream / 200, stream / int(said.split()[0])


def main():
    binary = BUILD / "conclave"
    row("figure", "measured", "target")
    wall, _, memory = median(15, binary, "--version")
    row("conclave --version, wall (memory)", f"{wall * 1e3:.1f} ms ({memory:.0f} MiB)", "< 20 ms")
    for n in (3, 10, 30):
        wall, cpu, memory = median(15, binary, "--config", scripted(n), "q")
        row(f"scripted run of {n} agents, wall / CPU (memory)", f"{wall * 1e3:.0f} / {cpu * 1e3:.0f} ms ({memory:.0f} MiB)",
            "< 60 ms" if n == 3 else "")
    with Server(chunks=200, rate=0) as s:
        for n in (3, 10, 30):
            wall, cpu, memory = median(7, binary, "--config", over_http(n, s.url), "q")
            row(f"{n} agents over HTTP, 200 chunks a call, wall / CPU (memory)", f"{wall * 1e3:.0f} / {cpu * 1e3:.0f} ms ({memory:.0f} MiB)")
    cost = {}
    for chunks in (200, 2000):
        with Server(chunks=chunks, rate=250) as s:
            cost[chunks] = statistics.median(run(binary, "--config", over_http(3, s.url), "q")[1] for _ in range(3))
    row("CPU per chunk, all in (3 agents, 7 calls, slope 200 to 2,000)", f"{(cost[2000] - cost[200]) / (7 * 1800) * 1e6:.1f} us", "< 40 us")
    bare, ours = beside_bare_client()
    row("CPU per chunk, chunks 4 ms apart, display and one reader; bare client", f"{ours * 1e6:.1f}; {bare * 1e6:.1f} us = {ours / bare:.2f}x",
        "<= 1.6x")
    row("    futex calls per chunk", f"{futex_calls():.2f}" if shutil.which("strace") else "strace is not installed", "<= 2")
    out = subprocess.run([BENCH / "hub_readers"], env=ENV, capture_output=True, text=True)
    found = re.search(r"alone ([\d.]+) s.*followed ([\d.]+) s.*: ([\d.]+) times as long.*: (yes|no)", out.stdout)
    row("30 agents, followed by readers blocked, slow, late and fast; alone", f"{found[2]}; {found[1]} s = {found[3]}x"
        + (", all whole" if found[4] == "yes" else ", EVENTS MISSING"), "<= 1.1x, all whole")
    taken = [streams(200, 200, 25) for _ in range(5)]
    middle = sorted(taken, key=lambda t: t["p99"])[2]
    row("200 streams x 25 chunks/s, server's write to sink, p50 / p99", f"{middle['p50']:.0f} / {middle['p99']:.0f} us", "p99 < 1,000 us")
    for n in (1, 100, 1000):
        t = streams(n, 200, 50 if n < 1000 else 25)
        row(f"{n} streams of 200 chunks at {50 if n < 1000 else 25}/s: complete; CPU per chunk",
            f"{t['complete']:.0f}; {t['per_chunk']:.1f} us", f"all {n}")
        row("    chunks/s; p99; memory per stream", f"{t['rate']:,.0f}; {t['p99']:.0f} us; {t['kib']:.0f} KiB")
    t = streams(100, 5000, 0)
    row("100 streams flat out: chunks/s; CPU per chunk", f"{t['rate']:,.0f}; {t['per_chunk']:.1f} us")
    out = subprocess.run([BENCH / "actors_bench", "agents", "10000"], env=ENV, capture_output=True, text=True, check=True).stdout
    row("10,000 idle agents, each", f"{re.search('([0-9.]+) KiB', out).group(1)} KiB", "<= 16 KiB")
    out = subprocess.run([BENCH / "actors_bench", "append", HOME.name], env=ENV, capture_output=True, text=True, check=True).stdout
    alone, group = re.findall("([0-9.]+) us each", out)
    row("event append: alone, durable / 1,000 at once", f"{alone} / {group} us")
    wall, cpu = (statistics.median(figures) for figures in zip(*(resumed(binary) for _ in range(7))))
    row("resume of 10,000 events until the task goes on, wall / CPU", f"{wall * 1e3:.0f} / {cpu * 1e3:.0f} ms", "< 200 ms")
    out = subprocess.run([BENCH / "ledger_bench"], env=ENV, capture_output=True, text=True, check=True).stdout
    row("round change of 64 agents with answers of 256 KiB, slowest handler", f"{re.findall('slowest handler: ([0-9.]+)', out)[-1]} ms", "< 5 ms")
    workspaces.rows(BUILD, pathlib.Path(HOME.name))
    if "--callgrind" in sys.argv:
        for readers in (1, 4, 16):
            row(f"instructions per chunk (1 stream, slope 200 to 2,000), {readers} readers", f"{a_chunk(readers):,.0f}")
        for dialect in ("bare", "openai_chat", "anthropic", "openai_responses", "gemini"):
            event, byte = an_event(dialect)
            row(f"instructions to decode an event; a byte: {dialect}", f"{event:,.0f}; {byte:.1f}", "a byte <= 1.5x openai_chat")


main()
