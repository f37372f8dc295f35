# SPDX-License-Identifier: Apache-2.0
"""Recorded runs: played again on other machines, so to say (no network, other keys, no configuration file, another home), the log is the
same to the byte; what is altered in a cassette is named; no key is in it."""

import asyncio
import ctypes
import hashlib
import shutil
import sqlite3
import tempfile
import unittest

import test_local as local
import test_planted_key as planted
from provider import Served
from support import *

SERVER = str(ROOT / "tests" / "support" / "changing_mcp.py")
KEY = 'sk-planted-5Qz+/91\\x=aB'  # has what JSON and URLs escape
OTHER = "sk-another-key-000000000"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def tool(name):
    return "mcp__s__" + name


def servers(*tools):
    return {"s": {"command": sys.executable, "args": [SERVER, *tools], "security": {"allowed_executables": [sys.executable]}}}


def isolated(*command):
    """A command in a network namespace without interfaces, where the system allows one."""
    can = shutil.which("unshare") and subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode == 0
    return ["unshare", "-rn", *command] if can else list(command)


class Recorded(Served):
    def setUp(self):
        super().setUp()
        self.cassette = self.home.path / "run.cassette"

    def backend(self, kind, model, **more):
        return {"type": kind, "model": model, "base_url": self.provider.url + ("/v1" if kind == "chatcompletion" else ""),
                "api_key": "${TEST_KEY}", **more}

    def record(self, agents, *args, prefix=(), env=None, **more):
        team = self.home.write("team.json", {"agents": agents, **more})
        r = subprocess.run([*prefix, str(BIN), "--config", team, "--record", str(self.cassette), "--automation", *args, "q"],
                           env={**self.home.env, "TEST_KEY": KEY, **(env or {})}, capture_output=True, text=True, timeout=120,
                           cwd=self.home.path, stdin=subprocess.DEVNULL)
        os.unlink(team)
        return r

    def shown(self, home):
        r = home.run("show", "--json", "last")
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def replay(self, *args, keys=True):
        """Plays the cassette where nothing of the recorded run is. Returns how it went and the log."""
        with Home() as elsewhere:
            env = {**elsewhere.env, **({"TEST_KEY": OTHER, "OPENAI_API_KEY": OTHER, "ANTHROPIC_API_KEY": OTHER} if keys else {})}
            r = subprocess.run(isolated(str(BIN), "replay", str(self.cassette), *args), env=env, capture_output=True, text=True,
                               timeout=120, cwd=elsewhere.path, stdin=subprocess.DEVNULL)
            if r.returncode == 1:
                return r, ""
            return r, self.shown(elsewhere)

    def check_replays(self, times=1, slow=False):
        log = self.shown(self.home)
        for i in range(times):
            for speed in ["max"] + (["1"] if slow else []):
                r, again = self.replay("--speed", speed, keys=i % 2 == 0)
                self.assertNotEqual(r.returncode, 1, r.stderr)
                self.assertEqual(sha(log), sha(again))
        last = json.loads(self.cassette.read_text().splitlines()[-1])
        self.assertEqual(last["text"], sha(log))
        for piece in (KEY, json.dumps(KEY)[1:-1], "sk-planted"):
            self.assertNotIn(piece.encode(), self.cassette.read_bytes())
        self.assertEqual(self.cassette.stat().st_mode & 0o777, 0o600)
        return log


class AcrossTheWorld(Recorded):
    def team(self, cancel=False):
        """Four agents of both dialects, with tools called side by side; the first call is told to wait."""
        refused = []

        async def behave(provider, request, reply):
            model = request["model"]
            i = int(model[-1])
            if not refused:
                refused.append(model)
                return await reply.error(429, "slow down", Retry_After="1")
            await asyncio.sleep(0.03 * i)
            said = json.dumps(request["messages"])
            if i < 2 and "seen a" not in said:
                return await reply.play("Looking.", [(tool("a"), {}), (tool("b"), {"n": 1})], gap=0.002)
            if cancel and i == 3:
                await reply.head()
                await reply.chunk(b": hold on\n\n")
                await asyncio.sleep(60)
            await reply.decide(f"answer {i}", gap=0.003)

        self.serve(behave)
        kinds = ("chatcompletion", "claude")
        return [{"id": f"m{i}", "backend": self.backend(kinds[i % 2], f"model-{i}", **({"mcp_servers": servers("a", "b")} if i < 2 else {}))}
                for i in range(4)]

    def test_four_agents_with_tools_and_a_429(self):
        for core in (["taskset", "-c", "0"], []):
            r = self.record(self.team(), prefix=core)
            self.assertEqual(r.returncode, 0, r.stderr)
            log = self.check_replays(times=3, slow=True)
            self.assertIn("seen a", self.cassette.read_text())
            self.assertGreaterEqual(log.count('"call_started"'), 13)
            os.unlink(self.cassette)

    def test_a_cancel(self):
        agents = self.team(cancel=True)
        team = self.home.write("team.json", {"agents": agents})
        self.home.env["TEST_KEY"] = KEY
        p = self.home.start("--config", team, "--record", str(self.cassette), "--json", "q")
        lines = Lines(p.stdout)
        for _ in range(3):
            lines.until(lambda x: '"answer_accepted"' in x or '"new_answer"' in x or '"answer' in x)
        p.send_signal(signal.SIGINT)
        p.wait(20)
        p.stdout.close()
        p.stderr.close()
        self.assertEqual(p.returncode, 4)
        self.check_replays(times=2, slow=True)


class OfALocalModel(local.Local):
    """A server that is started for the run, with a key that is drawn for it; in one of them it dies and is started again."""

    def test_three_agents_share_one_server_that_ends_with_the_run(self):
        cassette = self.home.path / "run.cassette"
        r = self.home.run("--config", self.team, "--record", str(cassette), "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assert_none_left()
        started = len(self.pids())
        log = self.home.run("show", "--json", "last").stdout
        with Home() as elsewhere:
            r = elsewhere.run("replay", str(cassette))
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(sha(elsewhere.run("show", "--json", "last").stdout), sha(log))
        self.assertEqual(len(self.pids()), started)

    def test_a_server_that_dies_in_mid_stream_is_started_again(self):
        self.server.with_name("die").touch()
        self.test_three_agents_share_one_server_that_ends_with_the_run()

    def test_kill_9_of_the_engine_leaves_no_server(self):
        """Of a recorded run neither; and no cassette, but the next run may record there."""
        cassette = self.home.path / "run.cassette"
        self.server.with_name("slow").touch()
        with self.home.start("--config", self.team, "--record", str(cassette), "q") as p:
            self.wait_for(self.pids, "no model server")
            p.kill()
            p.wait()
        self.assert_none_left()
        self.assertFalse(cassette.exists())
        self.server.with_name("slow").unlink()
        self.test_three_agents_share_one_server_that_ends_with_the_run()


class Planted(planted.Case):
    """Everybody who gets a key tells it back, in every way that tests/e2e/test_planted_key.py knows; none is in the cassette, and what was
    hidden from the log is hidden again."""

    team = planted.Planted.team

    def recorded(self, servers, literal, models=("fine",)):
        cassette = self.home.path / "home" / "run.cassette"
        cassette.unlink(missing_ok=True)
        r = self.home.run("-c", self.team(servers, literal, models), "--record", str(cassette), "q", env=self.env)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assert_nowhere("in a recorded run")
        log = self.home.run("show", "--json", "last").stdout
        with Home() as elsewhere:
            r = elsewhere.run("replay", str(cassette))
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(sha(elsewhere.run("show", "--json", "last").stdout), sha(log))

    def test_keys_told_back_by_providers(self):
        for literal in (True, False):
            with self.subTest(literal):
                self.cores.clear()
                self.recorded([], literal, planted.ECHOES)

    def test_keys_told_back_by_tool_servers(self):
        for how in ("noise", "dies", "refuses", "names", "call_fails", "call_dies", "error_result", "result"):
            for literal in (True, False):  # the second is told keys of the first, too (the file `bare`), which begin as its own do
                with self.subTest(f"{how} {literal}"):
                    self.cores.clear()
                    self.recorded([how], literal)


class Corpus(unittest.TestCase):
    """Runs of before (tests/golden/cassettes), played by this build."""

    def test_each_comes_to_the_same(self):
        all_of_them = sorted((ROOT / "tests" / "golden" / "cassettes").glob("*.cassette"))
        self.assertGreaterEqual(len(all_of_them), 10)
        with Home() as home:
            for cassette in all_of_them:
                with self.subTest(cassette.name):
                    r = home.run("replay", str(cassette))
                    self.assertNotEqual(r.returncode, 1, r.stderr)
                    self.assertNotRegex(r.stderr, r"\d+h\d\dm", "a time of today")
                    log = home.run("show", "--json", "last").stdout
                    self.assertEqual(json.loads(cassette.read_text().splitlines()[-1])["text"], sha(log))


class Altered(Recorded):
    def setUp(self):
        super().setUp()

        async def behave(provider, request, reply):
            await reply.decide("x")

        self.serve(behave)
        r = self.record([{"id": f"m{i}", "backend": self.backend("chatcompletion", "m")} for i in range(2)])
        self.assertEqual(r.returncode, 0, r.stderr)
        self.good = self.cassette.read_bytes()

    def refused(self, data, *words):
        self.cassette.write_bytes(data)
        r, _ = self.replay()
        self.assertEqual(r.returncode, 1, (words, r.stderr))
        for word in words:
            self.assertIn(word, r.stderr)
        return r.stderr

    def lines(self):
        return self.good.splitlines(keepends=True)

    def rechained(self, lines):
        """As one would write them: with the right check sums."""
        out, chain = [], ""
        for x in lines:
            body = x[:x.rindex(b',"sha":"')] + b"}"
            if b'"kind":"end"' in body:
                end = json.loads(body)
                end["number"] = len(lines)
                body = json.dumps(end, separators=(",", ":")).encode()
            chain = hashlib.sha256(chain.encode() + body).hexdigest()[:16]
            out.append(body[:-1] + f',"sha":"{chain}"}}\n'.encode())
        return b"".join(out)

    def test_the_check_is_the_one_of_the_program(self):
        self.assertEqual(self.rechained(self.lines()), self.good)

    def test_a_flipped_byte_is_named_by_its_line(self):
        for i in range(0, len(self.good) - 1, max(1, len(self.good) // 60)):
            data = bytearray(self.good)
            data[i] ^= 1
            self.refused(bytes(data), "line ")

    def test_missing_and_added_lines_and_a_cut(self):
        lines = self.lines()
        for i in range(1, len(lines), 7):
            self.refused(b"".join(lines[:i] + lines[i + 1:]), f"line {min(i + 1, len(lines) - 1)}")
            self.refused(b"".join(lines[:i] + [lines[i]] + lines[i:]), f"line {i + 2}")
            self.refused(b"".join(lines[:i]), f"line {i}", "cut off")
        self.refused(self.good[:-1], "cut off")
        self.refused(b"", "empty")

    def test_a_missing_call(self):
        lines = self.lines()
        first = next(i for i, x in enumerate(lines) if b'"kind":"request"' in x)
        self.refused(self.rechained(lines[:first] + lines[first + 1:]), f"line {first + 1}", "call 1")

    def test_another_call(self):
        lines = self.lines()
        first = next(i for i, x in enumerate(lines) if b'"kind":"request"' in x)
        said = self.refused(self.rechained(lines[:first] + [lines[first].replace(b"/v1/", b"/v2/")] + lines[first + 1:]), "asks differently")
        self.assertIn("/v1/chat/completions", said)
        self.assertIn("/v2/chat/completions", said)
        self.assertIn("of agent 'm", said)

    def test_a_first_line_that_leads_to_another_run(self):
        lines = self.lines()
        for key in (b"seed", b"start_unix_ms"):
            head = json.loads(lines[0])
            was = b'"%s":%d' % (key, head[key.decode()])
            other = lines[0].replace(was, b'"%s":%d' % (key, head[key.decode()] // 2), 1)
            self.assertNotEqual(other, lines[0])
            self.refused(self.rechained([other, *lines[1:]]), "line 1: it is of task")

    def test_an_input_that_never_comes(self):
        lines = self.lines()
        for what in (b'"kind":"stored"', b'"kind":"head"', b'"new_answer'):
            i = next(i for i, x in enumerate(lines) if what in x and b'"at":' in x)
            self.refused(self.rechained(lines[:i] + lines[i + 1:]), "line ")

    def test_another_version(self):
        self.refused(self.good.replace(b'"conclave_cassette":1', b'"conclave_cassette":2', 1), "version 2")

    def test_what_is_no_cassette(self):
        for data in (b"hello\n", b"{}\n", b'{"conclave_cassette":"1"}\n', b"\x00" * 100, b"[" * 100000 + b"\n"):
            self.refused(data, "line 1")


class AtTheCommandLine(Recorded):
    TEAM = calm_team(2)["agents"]

    def test_a_file_that_is_there_stays(self):
        self.cassette.write_text("mine")
        r = self.record(self.TEAM)
        self.assertEqual((r.returncode, self.cassette.read_text()), (1, "mine"))
        self.assertIn("exists", r.stderr)

    def test_what_cannot_be_recorded(self):
        r = self.home.run("--record", "x.cassette", "--node", "a=127.0.0.1:1", "q")
        self.assertEqual(r.returncode, 1)
        r = self.home.run("resume", "--record", "x.cassette")
        self.assertEqual(r.returncode, 1)
        self.assertIn("--record and resume", r.stderr)
        r = self.record(self.TEAM, "--record", "/nowhere/x")
        self.assertEqual(r.returncode, 1)
        self.assertFalse(list(self.home.path.glob("*.partial")))

    def test_a_team_with_workspaces_is_refused_before_a_task(self):
        r = self.record([agent("a", [{"answer": "x"}], **{"backend": {"type": "scripted", "steps": [{"answer": "x"}], "cwd": "ws"}})],
                        orchestrator={"snapshot_storage": "s", "agent_temporary_workspace": "t"})
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn("`cwd`) cannot be recorded yet", r.stderr)
        self.assertNotIn("TASK:", r.stderr)
        self.assertEqual(self.home.run("list", "--json").stdout, "")
        self.assertFalse(list(self.home.path.glob("run.cassette*")))

    def test_a_disk_that_is_full_at_the_end(self):
        """The answer is there and the recording is not: the exit code says so, with and without a display."""
        libc = ctypes.CDLL(None, use_errno=True)
        small = self.home.path / "small"
        small.mkdir()
        if os.geteuid() != 0 or libc.mount(b"tmpfs", str(small).encode(), b"tmpfs", 0, b"size=4096") != 0:
            self.skipTest("only root can mount a small file system")
        self.addCleanup(libc.umount2, str(small).encode(), 2)
        self.cassette = small / "run.cassette"
        for flags in ((), ("--quiet",)):
            r = self.record(self.TEAM, *flags)
            self.assertEqual((r.returncode, r.stdout), (2, "the final answer\n"), r.stderr)
            self.assertIn("recording: there is none: ", r.stderr)
            self.assertIn("No space left", r.stderr)
            self.assertEqual(list(small.iterdir()), [])

    def test_a_signal_before_the_task_leaves_no_file(self):
        self.assertEqual(self.home.run("--config", self.home.write("t.json", {"agents": self.TEAM}), "q").returncode, 0)
        db = sqlite3.connect(self.home.path / "home" / "tasks.db", isolation_level=None)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        with self.home.start("--config", str(self.home.path / "t.json"), "--record", str(self.cassette), "q") as p:
            until = time.monotonic() + 10
            while not list(self.home.path.glob("*.partial")):
                self.assertLess(time.monotonic(), until)
            p.send_signal(signal.SIGINT)
            p.wait(20)
            said = p.stderr.read().decode()
        db.execute("ROLLBACK")
        db.close()
        self.assertEqual(p.returncode, 4, said)
        self.assertEqual(list(self.home.path.glob("run.cassette*")), [])

    def test_a_run_that_cannot_begin_leaves_no_file(self):
        r = self.home.run("--record", str(self.cassette), "--config", self.home.write("t.json", {"agents": []}), "q")
        self.assertEqual(r.returncode, 1)
        self.assertFalse(list(self.home.path.glob("run.cassette*")))

    def test_a_task_that_is_there_is_left_alone(self):
        r = self.record(self.TEAM)
        self.assertEqual(r.returncode, 0, r.stderr)
        log = self.shown(self.home)
        r = self.home.run("replay", str(self.cassette))
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("nothing was added", r.stderr)
        self.assertEqual(self.shown(self.home), log)


    def test_a_replay_that_is_interrupted_keeps_nothing(self):
        r = self.record(calm_team(2, lambda i: 4000)["agents"])
        self.assertEqual(r.returncode, 0, r.stderr)
        with Home() as elsewhere:
            p = elsewhere.start("replay", str(self.cassette), "--speed", "1")
            Lines(p.stderr).until("start")
            p.send_signal(signal.SIGINT)
            p.wait(10)
            p.stdout.close()
            p.stderr.close()
            self.assertEqual(p.returncode, 4)
            self.assertEqual(elsewhere.run("list", "--json").stdout, "")


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
