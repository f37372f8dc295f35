# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at every record of three tasks: between its COMMIT and whoever waits for it, and at the first outside call it released. Then
the task goes on in a fresh process and must come to what it would have come to, and pay for no stored reply again.

A record is one transaction: tests/crash/record_runner.cpp, whose store commits each append alone. CONCLAVE_LONG=1: all records, and every
third of the second processes is killed too; else each n-th record, from another one each day.
"""

import asyncio
import collections
import concurrent.futures
import hashlib
import re
import shutil
import sqlite3
import tempfile
import threading
import time
import unittest

import stored
from provider import Provider
from support import *

RUNNER = BUILD / "tests" / "record_runner"
LONG = bool(os.environ.get("CONCLAVE_LONG"))
# Which records of a short run: CONCLAVE_EACH=1 plays all.
EACH = 1 if LONG else int(os.environ.get("CONCLAVE_EACH", "9"))
FIRST = 0 if LONG else int(os.environ.get("CONCLAVE_FIRST", str(int(time.time()) // 86400)))
AT_ONCE = 4
PATIENCE = 3


class Model:
    """What every model says depends on what it is asked alone. Each reply has a token of its own, by which it is found in the store."""

    def __init__(self, scenario):
        self.scenario, self.asked, self.replies = scenario, [], 0
        self.lock, self.process, self.armed = threading.Lock(), None, None

    def next_token(self, request):
        key = hashlib.sha256((request["model"] + json.dumps(request["messages"], sort_keys=True)).encode()).hexdigest()
        self.replies += 1
        token = f"reply-{self.replies}-"
        self.asked.append((key, token))
        return key, token

    async def __call__(self, provider, request, reply):
        key, token = self.next_token(request)
        if self.armed.exists():  # the first call outside since the record
            self.process.kill()
            await asyncio.Event().wait()
        kind, tools = self.scenario, reply.tools()
        who = request["model"]
        # A message of the vote of another run is no tool result of this one.
        results = sum(m["role"] == "tool" for m in request["messages"])
        votes, presents = "vote" in tools, "new_answer" not in tools and "vote" not in tools
        if kind == "straggler" and who == "model-4" and not votes and not presents:
            await asyncio.Event().wait()
        if (kind == "failing" and who == "model-1") or (kind == "fallback" and presents):
            await reply.head()
            await reply.chunk(b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "half"}}]}\n\n')
            reply.last = True  # cut in the middle
            return
        if presents:
            return await reply.play(token + " the final answer")
        if votes:
            return await reply.play(token, [("vote", {"agent_id": "agent1", "reason": "fine"})])
        if kind != "failing" and results == 0:
            return await reply.play(token, [("append", {"line": key[:12] + ".a"}), ("look", {"line": key[:12] + ".l"}),
                                            ("append", {"line": key[:12] + ".b"})])
        await reply.play(token, [("new_answer", {"content": "the answer of " + who})])


TOKEN = re.compile(r"reply-\d+-|:\d{4,5}/")
AGENTS = {"straggler": 5, "failing": 3, "fallback": 2}
SKIPPED = {"call_started", "call_ended", "run_continued", "task_resumed", "agent_notice"}
# What differs without a difference: places in the log, ids, times, jitter; an answer's epoch is its place among those of its round.
LOOSE = {"seq", "time", "run", "ms", "cause", "state", "said", "kept", "v", "detail"}


class Play:
    """One task in a home of its own."""

    def __init__(self, scenario):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="conclave-record-"))
        self.model = Model(scenario)
        self.model.armed = self.home / "armed"
        self.provider = Provider(self.model)
        self.store, self.file = self.home / "tasks.db", self.home / "notes.txt"
        team = {"agents": [{"id": f"m{i}", "backend": {"type": "chatcompletion", "model": f"model-{i}", "base_url": self.provider.url + "/v1"}}
                           for i in range(AGENTS[scenario])],
                "orchestrator": {"coordination": {"max_failed_runs": 2}, "straggler_patience_seconds": PATIENCE}}
        team["orchestrator"].update(team["orchestrator"].pop("coordination"))
        (self.home / "team.json").write_text(json.dumps(team))

    def end(self):
        self.provider.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def process(self, args, crash=None):
        """Runs it to its end. `crash`: record, at, tool."""
        env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        env.update(HOME=str(self.home), CONCLAVE_HOME=str(self.home), CRASH_ARMED=str(self.model.armed))
        self.model.armed.unlink(missing_ok=True)
        if crash:
            env.update(CRASH_RECORD=str(crash[0]), CRASH_AT=crash[1], CRASH_TOOL=crash[2])
        p = subprocess.Popen([RUNNER, str(self.store), str(self.file), *args], env=env, cwd=self.home, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.model.process = p
        try:
            out, err = p.communicate(timeout=int(os.environ.get("LIMIT", "60")))
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            if os.environ.get("KEEP"):
                shutil.copytree(self.home, os.environ["KEEP"], dirs_exist_ok=True)
            raise AssertionError(f"it hangs; its log: {[e['type'] for e in self.events()][-8:]} {err}")
        self.model.armed.unlink(missing_ok=True)
        if p.returncode not in (0, -signal.SIGKILL):
            raise AssertionError(f"it ended with {p.returncode}: {out} {err}")
        return p.returncode == 0, out.strip()

    def events(self):
        if not self.store.exists():
            return []
        with sqlite3.connect(self.store) as db:
            return [json.loads(x) for _, x in stored.read(db)[0]]

    def bodies(self):
        with sqlite3.connect(self.store) as db:
            return stored.read(db)[1]

    def task(self):
        with sqlite3.connect(self.store) as db:
            return db.execute("SELECT task FROM tasks").fetchone()[0]


def open_calls(events):
    """Model calls that were begun and have no end."""
    begun = {(e["agent"], e["number"]) for e in events if e["type"] == "call_started" and e["target"] == "model"}
    return len(begun - {(e["agent"], e["number"]) for e in events if e["type"] == "call_ended"})


def ledger_of(events):
    """What was decided, by round; the order within a round is free."""
    rounds, now = collections.defaultdict(collections.Counter), -1
    for e in events:
        if e["type"] == "round_started":
            now = e.get("round", 0)
        elif e["type"] == "final_round_start":
            now = "final"
        if e["type"] in SKIPPED:
            continue
        kept = {k: v for k, v in e.items() if k not in LOOSE}
        if e["type"] == "new_answer" or now in (-1, 0):
            kept.pop("epoch", None)
        if e["type"] == "run_started" and not kept.get("labels"):
            kept.pop("epoch", None)
        for k in {"text", "reason"} & set(kept):  # a token is a reply's own, a port the provider's
            kept[k] = TOKEN.sub("", kept[k])
        rounds[now][json.dumps(kept, sort_keys=True)] += 1
    return rounds



class EveryRecord(unittest.TestCase):
    def check(self, play, undisturbed, total, opened, label):
        events, bodies = play.events(), play.bodies()
        self.assertEqual([e["seq"] for e in events], list(range(1, len(events) + 1)), label)
        times = [e["time"] for e in events]
        self.assertEqual(times, sorted(times), label)
        types = collections.Counter(e["type"] for e in events)
        self.assertEqual((types["task_ended"], types["presentation_started"]), (1, 1), label)
        was = ledger_of(events)
        for r in set(was) | set(undisturbed):
            self.assertEqual(dict(was[r] - undisturbed[r]), {}, f"{label}: round {r} has what it would not have; it lacks "
                             f"{dict(undisturbed[r] - was[r])}")
            self.assertEqual(dict(undisturbed[r] - was[r]), {}, f"{label}: round {r} lacks")
        # A reply that is stored was the last one to its question.
        stored = b"\n".join(bodies[e["said"][0]] for e in events if e["type"] == "call_ended" and e["target"] == "model" and e.get("said"))
        durable = {t for _, t in play.model.asked if t.encode() in stored}
        last = {}
        for key, token in play.model.asked:
            self.assertNotIn(last.get(key), durable, f"{label}: a stored reply was paid for again ({token})")
            last[key] = token
        self.assertLessEqual(len(play.model.asked), total + opened, label)
        begun = {(e["agent"], e["number"]) for e in events if e["type"] == "call_started"}
        ended = [(e["agent"], e["number"]) for e in events if e["type"] == "call_ended"]
        self.assertEqual(sorted(begun), sorted(ended), f"{label}: each call has one end")
        # Tools: no line twice, one for each call that is known to have ended well.
        lines = play.file.read_text().splitlines() if play.file.exists() else []
        self.assertEqual(len(lines), len(set(lines)), f"{label}: {lines}")
        starts = {(e["agent"], e["number"]): e for e in events if e["type"] == "call_started"}
        for e in events:
            if e["type"] == "call_ended" and e["target"] == "append" and e["reason"] == "finished":
                self.assertIn(bodies[starts[e["agent"], e["number"]]["said"][0]].decode(), lines, label)
        verify_stores(play.home)

    def one(self, scenario, crash, again, undisturbed, total):
        label = f"{scenario}, record {crash[0]}, at {crash[1]}, tool {crash[2]}, again {again}"
        play = Play(scenario)
        try:
            over, _ = play.process(["run", "team.json", "q"], crash)
            opened = 0
            for second in [again, None] if again else [None]:
                if over:
                    break
                opened += open_calls(play.events())
                over, _ = play.process(["resume", play.task()], second)
            self.assertTrue(over, label)
            self.check(play, undisturbed, total, opened, label)
            return None
        except Exception as e:  # all findings of a scenario are wanted, not the first
            return f"{label}: {e}"
        finally:
            play.end()

    def scenario(self, name):
        play = Play(name)
        try:
            over, out = play.process(["run", "team.json", "q"])
            self.assertTrue(over)
            records, undisturbed, total = int(out.split()[1]), ledger_of(play.events()), len(play.model.asked)
            self.check(play, undisturbed, total, 0, "undisturbed")
        finally:
            play.end()
        jobs = [(n, at, "after" if n % 2 else "before") for n in range(1, records + 1) for at in ("commit", "call")]
        jobs = jobs[FIRST % EACH::EACH]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda i: self.one(name, jobs[i], (1 + i % 11, ("commit", "call")[i // 3 % 2], "after") if i % 3 == 0 else None,
                                                     undisturbed, total), range(len(jobs))))
        found = [x for x in found if x]
        self.assertEqual(found, [], f"{len(found)} of {len(jobs)}:\n" + "\n".join(found[:5]))

    def test_of_five_agents_with_tools_and_a_straggler(self):
        self.scenario("straggler")

    def test_of_a_failing_agent(self):
        self.scenario("failing")

    def test_of_a_presentation_that_falls_back(self):
        self.scenario("fallback")


if __name__ == "__main__":
    need_binary()
    if not RUNNER.exists():
        print(f"skipped: {RUNNER} is not built")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
