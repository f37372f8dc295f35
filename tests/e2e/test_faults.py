# SPDX-License-Identifier: Apache-2.0
"""Readers that stop, disks that are full, limits that are reached: the answer, the store and the exit code stay right."""

import ctypes
import fcntl
import re
import resource
import sqlite3
import termios
import threading
import unittest

from support import *

F_SETPIPE_SZ = 1031


def team(chatter=0):
    """One agent that answers after as many kilobytes of talk."""
    talk = {"text": ("a line of talk that nobody reads, as long as a line may well be, eighty or\n" * 14) * chatter} if chatter else {}
    return {"agents": [agent("a", [{**talk, "answer": "the stored answer"}, {"vote": "agent1", "reason": "fine"}, {"text": "the final answer"}])]}


class Pipe:
    """A pipe of one page; `fill` leaves no room in it."""

    def __init__(self, fill=False):
        self.read, self.write = os.pipe()
        fcntl.fcntl(self.write, F_SETPIPE_SZ, 4096)
        if fill:
            os.set_blocking(self.write, False)
            try:
                while os.write(self.write, b"." * 512):
                    pass
            except BlockingIOError:
                pass
            os.set_blocking(self.write, True)

    def drain(self):
        os.close(self.write)
        data = b""
        while part := os.read(self.read, 65536):
            data += part
        return data

    def close(self):
        for fd in (self.read, self.write):
            try:
                os.close(fd)
            except OSError:
                pass


class Case(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.addCleanup(self.home.__exit__)
        self.logs = self.home.path / "home" / "logs"
        self.seen_logs = set()
        self.db = self.home.path / "home" / "tasks.db"

    def launch(self, *args, out=subprocess.PIPE, err=subprocess.PIPE, **kw):
        p = subprocess.Popen([str(BIN), *args], cwd=self.home.path, env=self.home.env, stdout=out, stderr=err, stdin=subprocess.DEVNULL, **kw)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), [f.close() for f in (p.stdout, p.stderr) if f]))
        return p

    def config(self, what, name="team.json"):
        return self.home.write(name, what)

    def store_is_sound(self):
        db = sqlite3.connect(self.db)
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
        db.close()

    def new_log(self):
        """The log of the one task begun since the last call; names of one second have no order."""
        log, = set(self.logs.iterdir()) - self.seen_logs
        self.seen_logs.add(log)
        return log

    def event_types(self, task):
        return [e["type"] for e in events_of((self.logs / task / "events.jsonl").read_text())]

    def disk(self, mib):
        """Puts the home on a small file system of its own; None where only root may."""
        libc = ctypes.CDLL(None, use_errno=True)
        where = str(self.home.path / "home").encode()
        if os.geteuid() != 0 or libc.mount(b"tmpfs", where, b"tmpfs", 0, f"size={mib}m,mode=700".encode()) != 0:
            self.skipTest("only root can mount a small file system")
        self.addCleanup(libc.umount2, where, 2)
        return lambda flags, options=b"": self.assertEqual(libc.mount(b"tmpfs", where, b"tmpfs", flags, options), 0)

    def fill(self):
        """Leaves no byte on the disk of the home."""
        with open(self.home.path / "home" / "filler", "ab", buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while f.write(b"f" * size) == size:
                        pass
                except OSError:
                    pass


class Readers(Case):
    def test_nobody_reads_standard_error(self):
        for chatter, flags in ((0, ()), (300, ()), (300, ("-v",)), (0, ("--automation",)), (0, ("--quiet",))):
            with self.subTest(chatter=chatter, flags=flags):
                err = Pipe(fill=True)
                began = time.monotonic()
                p = self.launch("--config", self.config(team(chatter)), *flags, "q", err=err.write)
                out, _ = p.communicate(timeout=30)
                self.assertEqual((p.returncode, out), (0, b"the final answer\n"))
                self.assertLess(time.monotonic() - began, 10)
                newest = self.new_log()
                self.assertEqual(self.event_types(newest.name)[-1], "task_ended")
                self.assertTrue(json.loads((newest / "status.json").read_text())["is_complete"])
                err.close()

    def test_a_crowd_that_nobody_reads_ends_when_its_task_does(self):
        crowd = {"agents": [agent(f"m{i}", [{"text": "word pie" * 8_000, "chunk_bytes": 8, "answer": "x"}, {"vote": "agent1", "reason": "fine"},
                                            {"text": "the final answer", "optional": True}]) for i in range(10)]}
        for flags in ((), ("-v",), ("--json", "-v")):
            with self.subTest(flags=flags):
                err = Pipe()
                p = self.launch("--config", self.config(crowd), *flags, "q", err=err.write)
                out, _ = p.communicate(timeout=60)
                ended = time.time()
                self.assertEqual(p.returncode, 0)
                events = events_of((self.new_log() / "events.jsonl").read_text())
                self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)))
                self.assertEqual(events[-1]["type"], "task_ended")
                if flags[:1] == ("--json",):
                    self.assertEqual(events_of(out.decode()), events)
                else:
                    self.assertEqual(out, b"the final answer\n")
                self.assertLess(ended - events[-1]["time"] / 1000, 6)  # under one second on a machine that has nothing else to do
                err.close()

    def test_a_terminal_that_is_stopped(self):
        for how in ("nobody reads", "ctrl-s"):
            with self.subTest(how):
                master, slave = os.openpty()
                if how == "ctrl-s":
                    termios.tcflow(slave, termios.TCOOFF)
                p = self.launch("--config", self.config(team(300)), "q", err=slave)
                out, _ = p.communicate(timeout=30)
                self.assertEqual((p.returncode, out), (0, b"the final answer\n"))
                slow = self.config({"agents": [agent("a", [{"text": "x\n" * 50_000, "answer": "x", "chunk_bytes": 1000, "chunk_delay_ms": 100}])]})
                p = self.launch("--config", slow, "q", out=slave, err=slave)
                deadline = time.monotonic() + 20
                while not any("call_started" in f.read_text() and "task_ended" not in f.read_text() for f in self.logs.glob("*/events.jsonl")):
                    self.assertLess(time.monotonic(), deadline)
                    select_for(0.05)
                p.send_signal(signal.SIGTERM)
                self.assertEqual(p.wait(8), 4)
                os.close(master)
                os.close(slave)

    def test_a_late_reader_is_told_what_it_missed(self):
        err, out = Pipe(fill=True), Pipe(fill=True)
        what = team()
        steps = what["agents"][0]["backend"]["steps"]
        steps[0]["text"] = "x\n" * 200_000  # each line is ten times as long on the display
        steps[1]["first_delay_ms"] = 1_000  # which is at it meanwhile
        p = self.launch("--config", self.config(what), "q", out=out.write, err=err.write)
        deadline = time.monotonic() + 30
        while not (self.logs.exists() and any("task_ended" in f.read_text() for f in self.logs.glob("*/events.jsonl"))):
            self.assertLess(time.monotonic(), deadline)
            select_for(0.05)
        spent, still = None, 0
        while still < 5:  # the display is complete once nobody works any more
            self.assertLess(time.monotonic(), deadline)
            now = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            spent, still = now, still + 1 if now == spent else 0
            select_for(0.1)
        seen = {}
        readers = [threading.Thread(target=lambda n=n, x=x: seen.update({n: x.drain()})) for n, x in (("err", err), ("out", out))]
        for r in readers:
            r.start()
        self.assertEqual(p.wait(20), 0)
        for r in readers:
            r.join(20)
        self.assertTrue(re.search(rb"\[\d+ bytes left out here: they were not read in time\]\n", seen["err"]), len(seen["err"]))
        self.assertLess(len(seen["err"]), 2 << 20)
        self.assertIn(b"winner: a", seen["err"])
        self.assertTrue(seen["out"].endswith(b"the final answer\n"))

    def test_signals_end_a_run_whose_readers_are_stopped(self):
        slow = {"agents": [agent("a", [{"answer": "x", "first_delay_ms": 60000}])]}
        for what, stopped, flags, wanted in ((slow, "err", (), 4), (slow, "out", ("--json",), 4), (slow, "both", ("--json",), 4),
                                             (team(), "out", (), 4), (team(), "both", (), 4), (team(), "out", ("--json",), 4)):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                with self.subTest(stopped=stopped, flags=flags, number=number, slow=what is slow):
                    pipes = {n: Pipe(fill=True) for n in ("out", "err") if stopped in (n, "both")}
                    before = set(self.logs.iterdir()) if self.logs.exists() else set()
                    p = self.launch("--config", self.config(what), *flags, "q", **{n: x.write for n, x in pipes.items()})
                    sign = "call_started" if what is slow else "task_ended"
                    deadline = time.monotonic() + 30
                    while not (self.logs.exists() and any(sign in f.read_text() for d in set(self.logs.iterdir()) - before
                                                          for f in d.glob("events.jsonl"))):
                        self.assertLess(time.monotonic(), deadline)
                        select_for(0.05)
                    p.send_signal(number)
                    began = time.monotonic()
                    self.assertEqual(p.wait(10), wanted)
                    self.assertLess(time.monotonic() - began, 6)
                    for x in pipes.values():
                        x.close()

    def test_a_signal_ends_a_complaint_that_nobody_reads(self):
        err = Pipe(fill=True)
        p = self.launch("--config", self.home.write("bad.yaml", "agents: 3\n"), "q", err=err.write)
        with self.assertRaises(subprocess.TimeoutExpired):
            p.wait(0.5)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(5), 4)
        err.close()

    def test_a_reader_that_left_is_no_error(self):
        for flags in ((), ("-v",), ("--automation",)):
            err = Pipe()
            os.close(err.read)
            p = self.launch("--config", self.config(team(50)), *flags, "q", err=err.write)
            out, _ = p.communicate(timeout=30)
            self.assertEqual((p.returncode, out), (0, b"the final answer\n"))
            os.close(err.write)

    def test_both_on_one_slow_pipe_come_whole_and_in_order(self):
        both = Pipe()
        p = self.launch("--config", self.config(team(100)), "q", out=both.write, err=both.write)
        os.close(both.write)
        data = b""
        while part := os.read(both.read, 1000):
            data += part
        self.assertEqual(p.wait(20), 0)
        self.assertEqual(data.count(b"a line of talk"), 1400)
        self.assertTrue(data.endswith(b"the final answer\n"), data[-300:])
        os.close(both.read)


class Files(Case):
    def test_an_output_fifo_without_a_reader_costs_only_the_file(self):
        os.mkfifo(self.home.path / "fifo")
        r = self.home.run("--config", self.config(team()), "-o", "fifo", "q", timeout=20)
        self.assertEqual((r.returncode, r.stdout), (2, "the final answer\n"))
        self.assertIn("nobody reads it", r.stderr)

    def test_an_output_fifo_whose_reader_is_stopped(self):
        os.mkfifo(self.home.path / "fifo")
        reader = os.open(self.home.path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        big = team()
        big["agents"][0]["backend"]["steps"][2]["text"] = "w" * 200_000
        r = self.home.run("--config", self.config(big), "-o", "fifo", "q", timeout=20)
        self.assertEqual((r.returncode, len(r.stdout)), (2, 200_001))
        self.assertIn("its reader takes nothing", r.stderr)
        os.close(reader)

    def test_an_output_fifo_that_is_read(self):
        os.mkfifo(self.home.path / "fifo")
        got = []
        t = threading.Thread(target=lambda: got.append((self.home.path / "fifo").read_text()))
        t.start()
        r = self.home.run("--config", self.config(team()), "-o", "fifo", "q", timeout=20)
        t.join(10)
        self.assertEqual((r.returncode, r.stdout, got), (0, "the final answer\n", ["the final answer\n"]))

    def test_a_limit_of_file_sizes_is_an_error_and_no_death(self):
        self.assertEqual(self.home.run("--config", self.config(team()), "q").returncode, 0)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        p = self.launch("--config", self.config(team()), "q", preexec_fn=limit)
        out, err = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out), (2, b""), err)
        self.assertIn(b"ulimit -f", err)
        self.assertNotIn(b"permissions", err)

    def test_too_few_descriptors_are_not_a_matter_of_permissions(self):
        self.assertEqual(self.home.run("--config", self.config(team()), "q").returncode, 0)
        said = set()
        for n in range(4, 12):
            limit = lambda n=n: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
            p = self.launch("show", "last", preexec_fn=limit)
            _, err = p.communicate(timeout=30)
            self.assertNotIn(b"permissions", err)
            said.add(b"too many files are open" in err)
        self.assertIn(True, said)

    def test_too_few_descriptors_are_said_at_the_start(self):
        """A node that can take nobody does not listen, an engine does not begin; with what they ask for they do."""
        refused = {False: [], True: []}
        for n in (12, 16, 24, 48, 64):
            limit = lambda n=n: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
            p = self.launch("--config", self.config(team()), "q", preexec_fn=limit)
            out, err = p.communicate(timeout=30)
            refused[p.returncode == 2 and out == b""].append(n)
            if p.returncode != 0:
                self.assertIn(b"32 are needed", err)
                self.assertIn(b"ulimit -n", err)
            p = self.launch("node", "--listen", "127.0.0.1:0", "--insecure-loopback", preexec_fn=limit)
            if n in refused[True]:
                out, err = p.communicate(timeout=30)
                self.assertEqual((p.returncode, out), (2, b""))
                self.assertIn(b"32 are needed", err)
                continue
            where = Lines(p.stdout).until("listening on").split()[-1]
            said = self.home.run("node", "--check", where, "--insecure-loopback")
            self.assertEqual(said.returncode, 0, said.stderr)
            p.terminate()
            p.communicate(timeout=30)
        self.assertEqual(refused, {True: [12, 16, 24], False: [48, 64]})

    def test_no_core_dumps(self):
        unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        try:
            p = subprocess.Popen(["sleep", "60"], cwd=self.home.path, preexec_fn=unlimited)
        except subprocess.SubprocessError:
            self.skipTest("no core dumps allowed here")
        p.send_signal(signal.SIGABRT)
        _, status = os.waitpid(p.pid, 0)
        p.returncode = -signal.SIGABRT
        slow = self.config({"agents": [agent("a", [{"answer": "x", "first_delay_ms": 60000}])]})
        q = self.launch("--config", slow, "--json", "q", preexec_fn=unlimited)
        Lines(q.stdout).until("call_started")
        limits = pathlib.Path(f"/proc/{q.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size +1 ")
        self.assertEqual(os.stat(f"/proc/{q.pid}").st_uid, os.getuid())  # still the user's to look into
        q.send_signal(signal.SIGABRT)
        _, ended = os.waitpid(q.pid, 0)
        q.returncode = -signal.SIGABRT
        if not os.WCOREDUMP(status):
            print("skipped in part: this system makes no core dumps at all")
        self.assertFalse(os.WCOREDUMP(ended))


def select_for(seconds):
    """A pause between two looks at a file that another process writes."""
    threading.Event().wait(seconds)


class Secrets(Case):
    def test_a_tool_server_that_says_its_key_says_it_to_nobody(self):
        key = "sk-of-the-tool-0123456789"
        server = self.home.write("server.py", "import os, sys, time\nk = os.environ['TOOL_KEY']\n"
                                 "for part in ('key ' + k[:9], k[9:] + ' args ' + ' '.join(sys.argv[1:]) + chr(10), 'the end, ' + k):\n"
                                 "    sys.stderr.write(part)\n    sys.stderr.flush()\n    time.sleep(0.05)\n")
        tools = [{"name": "t", "type": "stdio", "command": "python3", "args": [server, "--token", "${TOOL_SECRET}"], "env": {"TOOL_KEY": "${TOOL_SECRET}"}}]
        what = team()
        what["agents"][0]["backend"]["mcp_servers"] = tools
        r = self.home.run("--config", self.config(what), "q", env={"TOOL_SECRET": key})
        self.assertEqual(r.returncode, 0, r.stderr)
        logs = [f for f in self.logs.rglob("*") if f.is_file()]
        said = b"".join(f.read_bytes() for f in logs)
        self.assertIn(b"key *** args --token ***\nthe end, ***", said, logs)
        self.assertNotIn(key.encode(), said + r.stderr.encode())


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
