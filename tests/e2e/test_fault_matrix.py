# SPDX-License-Identifier: Apache-2.0
"""Every dialect through everything a provider does: replies of each form and faults of each kind, on a strict server of our own and, what it can play,
on the mock aimock. A cell tells the code of the error in the log, the requests on the wire, and the longest call; each call and each task has exactly
one end. CONCLAVE_TABLE=1 prints the table."""

import asyncio
import concurrent.futures
import dataclasses
import re
import shutil
import unittest

import strict
from provider import Provider
from support import *
from test_peers import AIMOCK, Mock

KINDS = ("chatcompletion", "openai", "claude", "gemini", "azure_openai")
ECHO = {"s": {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "echo"]}}
TOOL = "mcp__s__echo"
TEXT = "Größe: 東京 \U0001f600\n\u2028\"quoted\\\" — it is 42."
ODD = [{"text": "größer \U0001f600 \u2028"}, {"text": "東京, zwei \"\\\n", "n": 2}]
ANSWER = [("new_answer", {"content": "It is 42."})]


def seal(turn):
    """What nobody may look into or write otherwise."""
    return f"{turn}Zm9v+/= \"\\é\u2028" * 40


@dataclasses.dataclass
class Row:
    """`turns`: (has a seal, calls) of the replies before the answer. `fault`: plays a reply instead. `requests`: how many come, `code`: the error."""
    turns: list = dataclasses.field(default_factory=list)
    fault: object = None
    requests: int = 3
    code: str = ""
    agents: int = 1
    timeout: float = 20
    used: bool = False  # part of the reply is: nobody else is asked either
    mock: dict = None  # what aimock plays; {}: as the turns say


async def limited(cell, provider, request, reply):
    """Both agents ask before anybody is told to wait."""
    if len(provider.requests) > 2:
        return await model(cell, provider, request, reply)
    while len(provider.requests) < 2:
        await asyncio.sleep(0.01)
    if cell.name == "429":
        return await reply.error(429, "slow down", Retry_After=1)
    await reply.head()
    await reply.chunk(b"data: " + json.dumps(limit_event(cell.kind)).encode() + b"\n\n")
    await reply.end()


def limit_event(kind):
    """The same, told after a head that said 200."""
    text = "Rate limit reached. Please try again in 1s."
    return {"openai": {"type": "response.failed", "sequence_number": 1, "response": {"object": "response", "status": "failed", "output": [], "error": {
                "code": "rate_limit_exceeded", "message": text}}},
            "claude": {"type": "error", "error": {"type": "rate_limit_error", "message": text}},
            "gemini": {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}]}}}.get(
                    kind, {"error": {"message": text, "type": "rate_limit_error", "code": 429}})


def refuses(status):
    async def play(cell, provider, request, reply):
        await reply.error(status, "overloaded")
    return play


def beginning(kind, pattern):
    """The frames of a reply, up to the first with `pattern` in it."""
    frames = strict.stream(kind, "half a sentence", ANSWER)
    return frames[:next(i for i, f in enumerate(frames) if re.search(pattern, f)) + 1]


def first_words(kind):
    return beginning(kind, rb'"(text|content|delta)": "hal')


def error_event(kind):
    """An overload that is told after a head that said 200."""
    return {"openai": {"type": "error", "code": "server_error", "message": "overloaded", "param": None, "sequence_number": 9},
            "claude": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "gemini": {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}}.get(
                kind, {"error": {"message": "The engine is currently overloaded", "type": "server_error", "code": 503}})


def streams(what, whole=False):
    """A stream of the bytes that `what` makes for a dialect, and then the end of the connection; `whole`: the transfer is complete."""
    async def play(cell, provider, request, reply):
        await reply.head()
        if data := what(cell.kind):
            await reply.chunk(data)
        if whole:
            await reply.end()
        reply.last = True
    return play


def told(kind):
    return b"data: " + json.dumps(error_event(kind)).encode() + b"\n\n"


def in_a_call(kind):
    """Up to the call; of Gemini, whose calls come whole, up to half the frame."""
    frames = beginning(kind, b"call_t?0|tool_use|functionCall|function_call_arguments.delta")
    return b"".join(frames[:-1]) + (frames[-1][:60] if kind == "gemini" else frames[-1])


def words(kind):
    return b"".join(first_words(kind))


async def hangs(cell, provider, request, reply):
    await asyncio.sleep(600)


async def drips(cell, provider, request, reply):
    """A piece every 50 ms, for ever: no silence ends it."""
    frames = first_words(cell.kind)
    await reply.head()
    await reply.chunk(b"".join(frames))
    while True:
        await asyncio.sleep(0.05)
        await reply.chunk(frames[-1])


CHAOS = b"data: {malformed json: <<<chaos>>>\n\n"
LONG = "a long reply, word for word " * 60
ROWS = {
    "text": Row(mock={}),
    "reasoning": Row([(True, [{"text": "a"}])], requests=4, mock={}),
    "two calls": Row([(False, ODD)], requests=4, mock={}),
    "reasoning, two calls": Row([(True, ODD)], requests=4, mock={}),
    "tool loop": Row([(True, ODD[:1]), (True, ODD), (True, ODD[1:])], requests=6, mock={}),
    "429": Row(fault=limited, requests=7, agents=2, mock={"response": {"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429,
                                                                       "retryAfter": 1}}),
    "429 in the stream": Row(fault=limited, requests=7, agents=2),
    "529": Row(fault=refuses(529), requests=3, code="unavailable", mock={"response": {"error": {"message": "overloaded", "type": "overloaded_error"},
                                                                                      "status": 529}}),
    "error event": Row(fault=streams(told), requests=3, code="unavailable"),
    "error event after the first words": Row(fault=streams(lambda k: words(k) + told(k)), requests=1, code="stream_broken", used=True),
    "cut after the first words": Row(used=True, fault=streams(words), requests=1, code="stream_broken",
                                     mock={"response": {"content": LONG}, "chunkSize": 9, "latency": 20, "truncateAfterChunks": 9}),
    "an end without a reason": Row(used=True, fault=streams(words, whole=True), requests=1, code="stream_broken"),
    "cut in a call": Row(used=True, fault=streams(in_a_call), requests=1, code="stream_broken"),
    "cut before": Row(fault=streams(lambda k: b""), requests=3, code="unavailable", mock={"response": {"content": "x"}, "chaos": {"disconnectRate": 1}}),
    "malformed after the first words": Row(used=True, fault=streams(lambda k: words(k) + CHAOS), requests=1, code="bad_reply"),
    "malformed": Row(fault=streams(lambda k: CHAOS), requests=3, code="bad_reply", mock={"response": {"content": "x"}, "chaos": {"malformedRate": 1}}),
    "hang": Row(fault=hangs, requests=1, code="timeout", timeout=1.5, mock={"response": {"content": "x"}, "latency": 20_000}),
    "slow drip": Row(used=True, fault=drips, requests=1, code="timeout", timeout=1.5, mock={"response": {"content": LONG}, "chunkSize": 1, "latency": 50}),
}


async def model(cell, provider, request, reply):
    """What the model of a cell does that is asked as it should be."""
    tools, back = reply.tools(), strict.results(request, cell.kind)
    turns, text, calls, sealed = cell.row.turns, "", [], None
    done = sum(r["run"] == "tools" for r in cell.asked) if "vote" not in tools and "new_answer" in tools else len(turns)
    if "vote" in tools:
        calls = [("vote", {"agent_id": "agent1", "reason": "schön"})]
    elif "new_answer" not in tools:
        text = TEXT
    elif done < len(turns):
        cell.asked.append({"run": "tools"})
        sealed, calls = seal(done) if turns[done][0] else None, [(TOOL, a) for a in turns[done][1]]
        text = "I look." if done % 2 == 0 else ""
    else:
        calls = ANSWER
    if back or sealed:
        wanted = [a for _, calls in turns[:len(cell.asked) - bool(done < len(turns))] for a in calls]
        if [json.loads(b) for b in back] != wanted:
            cell.faults.append(f"the results are {back}, not {wanted}")
        if strict.seals(request, cell.kind) != cell.sealed:
            cell.faults.append(f"the seals came back as {strict.seals(request, cell.kind)}")
    if sealed:
        cell.sealed.append(sealed)
    whole = b"".join(strict.stream(cell.kind, text, calls, sealed, f"t{done}"))
    await reply.head()
    for at in range(0, len(whole), 7):  # cut inside characters, escapes and line ends
        await reply.chunk(whole[at:at + 7])
    await reply.end()


@dataclasses.dataclass
class Cell:
    kind: str
    name: str
    row: Row
    faults: list = dataclasses.field(default_factory=list)
    sealed: list = dataclasses.field(default_factory=list)
    asked: list = dataclasses.field(default_factory=list)

    def ask(self, url, model, other=None):
        """`other`: the address of what a failed call may go on with."""
        key = {"azure_openai": "azure-key", "gemini": "dummy"}.get(self.kind, "one-key")
        backend = {"type": self.kind, "model": model, "base_url": url + ("/v1" if self.kind in ("chatcompletion", "openai") else ""), "api_key": key,
                   "timeout": self.row.timeout, **({"mcp_servers": ECHO} if self.row.turns else {})}
        with Home() as home:
            more = {"failover": [{"type": "chatcompletion", "model": "other", "base_url": other + "/v1", "api_key": "another-key"}]} if other else {}
            team = {"agents": [{"id": f"a{i}", "backend": backend, **more} for i in range(self.row.agents)], "orchestrator": {"max_failed_runs": 1}}
            return home.run("--config", home.write("team.json", team), "--json", "What is 6 times 7?", timeout=120)

    async def behave(self, provider, request, reply):
        why = strict.fault(request, self.kind)
        if why:
            self.faults.append(why)
            return await reply.error(400, str(why))
        await (self.row.fault or model)(self, provider, request, reply)

    def on_strict(self):
        async def elsewhere(provider, request, reply):
            self.faults.append("another backend was asked although part of the reply was used")
            await reply.decide("x")

        provider, other = Provider(self.behave), Provider(elsewhere)
        try:
            r = self.ask(provider.url, {"azure_openai": "my deployment", "gemini": "gemini-2.5-flash"}.get(self.kind, "m"),
                         other.url if self.row.used else None)
        finally:
            provider.stop()
            other.stop()
        if self.row.code and len(set(provider.bodies)) > 1:
            self.faults.append("a try differs from the one before")
        return r, [(q["at"], self.row.fault is limited and i < 2) for i, q in enumerate(provider.requests)]

    # aimock shows reasoning of models alone whose name it knows for it.
    def mock_name(self):
        return {"claude": "claude-sonnet-4-5-", "gemini": "gemini-2.5-pro-"}.get(self.kind, "o4-mini-") + self.kind.replace("_", "-") + \
            "-" + self.name.replace(" ", "-").replace(",", "") + "-end"

    def fixtures(self):
        name, row = self.mock_name(), self.row
        out = [{"match": {"model": name, "sequenceIndex": i}, **row.mock} for i in range(2)] if self.name == "429" else []
        if row.mock and not out:
            return [{"match": {"model": name}, **row.mock}]
        out.append({"match": {"model": name, "toolName": "vote"}, "response": {"toolCalls": [{"name": "vote", "arguments": {"agent_id": "agent1", "reason": "schön"}}]}})
        for i, (sealed, calls) in enumerate(row.turns):
            out.append({"match": {"model": name, "toolName": "new_answer", "sequenceIndex": i},
                        "response": {"toolCalls": [{"name": TOOL, "arguments": a} for a in calls],
                                     **({"reasoning": "Höm.", "reasoningSignature": seal(i)} if sealed else {})}})
        out.append({"match": {"model": name, "toolName": "new_answer", **({"sequenceIndex": len(row.turns)} if row.turns else {})},
                    "response": {"toolCalls": [{"name": n, "arguments": a} for n, a in ANSWER]}})
        return out + [{"match": {"model": name, "systemMessage": "final answer"}, "response": {"content": TEXT}}]

    def on_aimock(self, mock):
        return self.ask(mock.url, self.mock_name()), None


class Matrix(unittest.TestCase):
    def table(self, where, cells, play):
        start, lines = time.monotonic(), []
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            played = list(pool.map(play, cells))
        for cell, (r, requests) in zip(cells, played):
            with self.subTest(f"{where}, {cell.kind}: {cell.name}"):
                lines.append(f"{where:7} {cell.kind:15} {cell.name:32} " + self.judge(cell, r, requests))
        if os.environ.get("CONCLAVE_TABLE"):
            print("\n".join(lines), f"\n{len(cells)} cells, {time.monotonic() - start:.0f} s", flush=True)

    def judge(self, cell, r, requests):
        row, events = cell.row, events_of(r.stdout)
        started = {(e["agent"], e["number"]): e for e in events if e["type"] == "call_started"}
        ended = [e for e in events if e["type"] == "call_ended"]
        calls = [e["time"] - started[(e["agent"], e["number"])]["time"] for e in ended if e["target"] == "model"]
        codes = {e["code"] for e in events if e["type"] == "agent_out"}
        longest = max(calls, default=0) / 1000
        seen = f"{','.join(codes) or 'answered':13} {len(requests):2} requests, {longest:4.1f} s of {row.timeout:4.1f} s"
        whole = f"{seen}\n{cell.faults}\n{r.stderr}{r.stdout}"
        self.assertEqual(cell.faults, [], whole)
        self.assertEqual(codes, {row.code} - {""}, whole)
        self.assertEqual(r.returncode, 2 if row.code else 0, whole)
        self.assertEqual(len(requests), row.requests, whole)
        self.assertEqual(sum(e["usage"].get("requests", 0) for e in ended if e["target"] == "model" and "usage" in e), row.requests, whole)
        self.assertEqual(sorted((e["agent"], e["number"]) for e in ended), sorted(started), whole)
        self.assertEqual([e["type"] for e in events].count("task_ended"), 1)
        self.assertEqual(events[-1]["type"], "task_ended")
        self.assertEqual(sorted(e["run"] for e in events if e["type"] == "run_ended"), sorted({e["run"] for e in events if e["type"] == "run_started"}))
        self.assertLessEqual(longest, row.timeout + 0.5, whole)
        self.assertEqual([e["text"] for e in events if e["type"] == "final_answer"], [] if row.code else [TEXT])
        tools = [e for e in events if e["type"] == "call_started" and e["target"] == TOOL]
        self.assertEqual(len(tools), sum(len(calls) for _, calls in row.turns), whole)
        if row.fault is limited:
            # None before a refusal's second is over, but those that were under way when it came.
            for refusal in (at for at, refused in requests if refused):
                self.assertEqual([at for at, _ in requests if 0.5 < at - refusal < 1.0], [], whole)
        return seen

    def test_on_the_strict_server(self):
        cells = [Cell(kind, name, row) for name, row in ROWS.items() for kind in KINDS]
        self.table("strict", cells, Cell.on_strict)

    def test_on_aimock(self):
        if not AIMOCK.exists() or not shutil.which("node"):
            self.skipTest(f"{AIMOCK} is not installed, or no node; scripts/check installs it where npm is")
        cells = [Cell(kind, name, row) for name, row in ROWS.items() if row.mock is not None for kind in KINDS]
        with Home() as home:
            mock = Mock(home, [f for c in cells for f in c.fixtures()])
            try:
                def play(cell):
                    r, _ = cell.on_aimock(mock)
                    asked = [e for e in mock.journal() if e["body"].get("model") == cell.mock_name()]
                    return r, [(e["timestamp"] / 1000, e["response"]["status"] == 429) for e in asked]

                self.table("aimock", cells, play)
            finally:
                mock.stop()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
