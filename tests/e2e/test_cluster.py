# SPDX-License-Identifier: Apache-2.0
"""One run over three processes: an orchestrator and two nodes under mutual TLS, and what happens when one of them is lost."""

import random
import shutil
import socket
import threading
import unittest

from support import *

KILLS = int(os.environ.get("CONCLAVE_KILLS", "5"))
PHASES = ["session_start", "run_started", "new_answer", "round_started", "vote_cast", "presentation_started"]


class Node:
    def __init__(self, home):
        self.process = home.start("node", "--listen", "127.0.0.1:0")
        line = Lines(self.process.stdout).until("listening on")
        self.address = line.split("listening on ")[1].strip()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        finally:
            self.process.kill()
            self.process.communicate()


def team(n, gap):
    """Verdicts at least `gap` ms apart, so that their order does not depend on where an agent lives."""
    return {"agents": [agent(f"m{i}", [{"answer": f"answer {i}", "first_delay_ms": gap * (i + 1)},
                                       {"vote": "agent1", "reason": "fine", "first_delay_ms": gap * (i + 1)},
                                       {"text": "the final answer " * 8, "chunk_bytes": 12, "chunk_delay_ms": 30, "optional": True}])
                       for i in range(n)]}


def optional(config):
    for a in config["agents"]:
        for s in a["backend"]["steps"]:
            s["optional"] = True
    return config


def essence(events):
    keep = {"round_started", "new_answer", "vote_cast", "final_agent_selected", "final_answer", "task_ended"}
    return [(e["type"], e.get("agent"), e.get("label"), e.get("epoch"), e.get("text")) for e in events if e["type"] in keep]


class Cluster(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.nodes = []

    def tearDown(self):
        for n in self.nodes:
            n.stop()
        self.home.__exit__()

    def node(self, home=None):
        self.nodes.append(Node(home or self.home))
        return self.nodes[-1]

    def test_same_ledger_as_on_one_process(self):
        config = self.home.write("team.json", team(4, 400))
        alone = self.home.run("--config", config, "--json", "q")
        a, b = self.node(), self.node()
        spread = self.home.run("--config", config, "--json", "--node", f"a={a.address}", "--node", b.address, "q")
        self.assertEqual((alone.returncode, spread.returncode), (0, 0), spread.stderr)
        self.assertEqual(essence(events_of(alone.stdout)), essence(events_of(spread.stdout)))

    def lose(self, phase, number, rng, seconds, which=1):
        """Loses one of two nodes once `phase` is seen (the first is where the winner lives); the others finish."""
        a, b = self.node(), self.node()
        config = optional(team(4, 120))
        for i, x in enumerate(config["agents"]):
            x["node"] = "ab"[i % 2]
        p = self.home.start("--config", self.home.write("team.json", config), "--json", "--node", f"a={a.address}", "--node", f"b={b.address}",
                            "q")
        out = Lines(p.stdout)
        try:
            out.until(f'"type":"{phase}"')
            time.sleep(rng.uniform(0, 0.1))  # the moment is the point
            (a, b)[which].process.send_signal(number)
            lost = time.monotonic()
            reported = None
            while True:
                line = out.next(time.monotonic() + 60)
                if line is None:
                    break
                if reported is None and '"type":"node_lost"' in line:
                    reported = time.monotonic() - lost
            ended = time.monotonic()
            p.wait(timeout=10)
            self.assertLess(time.monotonic() - ended, 2, "the end of the run waited for a node that is gone")
            _, err = p.communicate()
        finally:
            p.kill()
        events = [json.loads(x) for x in out.seen]
        self.assertEqual(p.returncode, 0, err.decode())
        self.assertEqual([e["type"] for e in events].count("presentation_started")
                         + [e["type"] for e in events].count("presentation_fallback") >= 1, True)
        self.assertLessEqual([e["type"] for e in events].count("presentation_started"), 1)
        self.assertEqual([e["type"] for e in events].count("task_ended"), 1)
        self.assertEqual([e["type"] for e in events].count("final_answer"), 1)
        if reported is not None:
            self.assertLess(reported, seconds)
        elif phase not in ("presentation_started", "vote_cast"):
            self.fail(f"the loss in phase {phase} was never reported")
        for n in self.nodes:
            n.stop()
        self.nodes = []
        return reported

    def test_kill_9_of_a_node_in_each_phase(self):
        rng = random.Random(int(os.environ.get("CONCLAVE_SEED", "1")))
        times = []
        for i in range(max(KILLS, 1)):
            phase = PHASES[i % len(PHASES)]
            with self.subTest(phase=phase, i=i):
                times.append(self.lose(phase, signal.SIGKILL, rng, 3, (i // len(PHASES) + i) % 2))
        print("seconds until the loss was an event:", [None if t is None else round(t, 2) for t in times])

    def test_a_stopped_node_is_lost_within_10_s(self):
        taken = self.lose("new_answer", signal.SIGSTOP, random.Random(1), 10)
        self.assertIsNotNone(taken)
        print(f"seconds until a stopped node was lost: {taken:.2f}")

    def test_nodes_cancel_when_the_orchestrator_dies(self):
        a = self.node()
        server = socket.create_server(("127.0.0.1", 0))
        closed = threading.Event()
        started = threading.Event()

        def serve():
            c, _ = server.accept()
            c.recv(65536)
            started.set()
            c.settimeout(20)
            try:
                while c.recv(65536):
                    pass
            except OSError:
                pass
            closed.set()

        threading.Thread(target=serve, daemon=True).start()
        config = {"agents": [{"id": "x", "backend": {"type": "chatcompletion", "model": "m", "base_url": f"http://127.0.0.1:{server.getsockname()[1]}/v1"}}]}
        p = self.home.start("--config", self.home.write("team.json", config), "--node", f"a={a.address}", "q")
        self.assertTrue(started.wait(10))
        p.kill()
        t = time.monotonic()
        p.communicate()
        self.assertTrue(closed.wait(3), "the node went on with its call")
        print(f"seconds until the node cancelled: {time.monotonic() - t:.2f}")
        server.close()

    def test_strangers_get_nothing(self):
        a = self.node()
        host, port = a.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as plain:
            plain.sendall(b"\x00" * 64 + b"hello\n")
            plain.settimeout(5)
            try:
                data = plain.recv(4096)
            except OSError:
                data = b""
            self.assertNotIn(b"conclave", data)
        with Home() as stranger:  # another CA
            r = stranger.run("--config", stranger.write("t.json", optional(team(1, 10))), "--node", f"a={a.address}", "q")
            self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        if shutil.which("openssl"):
            r = subprocess.run(["openssl", "s_client", "-connect", a.address, "-quiet"], input=b"hello\n", capture_output=True, timeout=20)
            self.assertNotIn(b"conclave", r.stdout)
        self.assertIsNone(a.process.poll(), "the node died")
        r = self.home.run("--config", self.home.write("t.json", optional(team(1, 10))), "--node", f"a={a.address}", "q")
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_unreachable_node(self):
        config = optional(team(2, 50))
        config["agents"][1]["node"] = "gone"
        config["cluster"] = {"nodes": {"gone": "127.0.0.1:1"}}
        t = time.monotonic()
        r = self.home.run("--config", self.home.write("team.json", config), "--json", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertLess(time.monotonic() - t, 8)
        self.assertEqual([e["agent"] for e in events_of(r.stdout) if e["type"] == "agent_out"], ["m1"])


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
