# SPDX-License-Identifier: Apache-2.0
"""What a node's open port is worth to strangers (nothing, and it costs the node nothing), and nodes that hang when they are asked."""

import shutil
import socket
import unittest

from support import *

IDLE = 200


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def what_comes(sock, seconds=10):
    """All bytes until the other side closes; TimeoutError if it does not."""
    sock.settimeout(seconds)
    got = b""
    try:
        while data := sock.recv(4096):
            got += data
    except ConnectionError:
        pass
    return got


class NodePort(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.node = self.home.start("node", "--listen", "127.0.0.1:0")
        self.address = Lines(self.node.stdout).until("listening on").split("listening on ")[1].strip()
        self.port = int(self.address.rsplit(":", 1)[1])

    def tearDown(self):
        self.node.send_signal(signal.SIGCONT)
        self.node.terminate()
        self.node.communicate(timeout=10)
        self.assertEqual(self.node.returncode, 0)
        self.home.__exit__()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, home=None, **more):
        home = home or self.home
        steps = [{"answer": "x"}, {"vote": "agent1"}, {"text": "the end", "optional": True}]
        config = {"agents": [agent("near", steps), agent("far", steps, node="n")], "cluster": {"nodes": {"n": self.address}, **more}}
        return home.run("--config", home.write("team.json", config), "--json", "q")

    def assert_lost(self, result, why):
        self.assertEqual(result.returncode, 0, result.stderr)
        out = [e for e in events_of(result.stdout) if e["type"] == "agent_out"]
        self.assertEqual([e["agent"] for e in out], ["far"])
        self.assertIn(why, out[0]["reason"])

    def assert_serves(self):
        result = self.ask()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertFalse([e for e in events_of(result.stdout) if e["type"] == "agent_out"], result.stdout)

    def test_idle_connections_cost_nothing_and_are_closed(self):
        before_cpu, before = cpu_seconds(self.node.pid), descriptors(self.node.pid)
        idle = [self.connect() for _ in range(IDLE)]
        self.assert_serves()
        for s in idle:
            with s:
                self.assertEqual(what_comes(s), b"")
        self.assertLess(cpu_seconds(self.node.pid) - before_cpu, 1, "the node was busy with nothing")
        self.assertLess(descriptors(self.node.pid), before + 8)

    def test_many_runs_one_after_another(self):
        for _ in range(40):
            self.assert_serves()

    def test_strangers_get_no_word(self):
        hellos = {"web": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "zeros": bytes(4096), "random": os.urandom(65536),
                  "half a TLS record": b"\x16\x03\x01\x40\x00\x01", "BASP": bytes(3) + b"\x01" + bytes(40)}
        for name, data in hellos.items():
            with self.subTest(name), self.connect() as s:
                try:
                    s.sendall(data)
                except ConnectionError:
                    pass
                got = what_comes(s)
                self.assertLess(len(got), 64)
                self.assertNotIn(b"conclave", got)
        self.assert_serves()

    def test_other_authorities(self):
        with Home() as stranger:
            self.assert_lost(self.ask(stranger), "not of our authority")
            # Trusts the node, and shows a certificate the node does not trust: it gets as far as its own proof.
            if shutil.which("openssl"):
                tls = stranger.path / "home" / "tls"
                ours = self.home.path / "home" / "tls"
                for more in ([], ["-cert", str(tls / "node.pem"), "-key", str(tls / "node.key")]):
                    r = subprocess.run(["openssl", "s_client", "-connect", self.address, "-CAfile", str(ours / "ca.pem"), "-quiet", *more],
                                       stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
                    self.assertNotIn(b"conclave", r.stdout)
                    self.assertEqual(r.stdout, b"")
        self.assert_serves()

    def test_a_stopped_node_is_given_up_with_a_reason(self):
        self.node.send_signal(signal.SIGSTOP)
        before = os.times()
        result = self.ask()
        after = os.times()
        self.assert_lost(result, "does not answer")
        self.assertLess(after.children_user + after.children_system - before.children_user - before.children_system, 1, "it waited busily")
        self.node.send_signal(signal.SIGCONT)
        self.assert_serves()

    def test_a_port_of_something_else(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            self.address = f"127.0.0.1:{other.getsockname()[1]}"
            self.assert_lost(self.ask(), "does not answer")
            self.assert_lost(self.ask(tls={"insecure_loopback": True}), "does not answer")

    def test_a_node_that_cannot_start_says_why_without_driving_the_terminal(self):
        r = self.home.run("node", "--listen", "0.0.0.0:0", "--insecure-loopback")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("loopback", r.stderr)
        r = self.home.run("node", "--listen", "127.0.0.1:0", "--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a\x1b[31mb")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("a[31mb", r.stderr)

    def test_without_tls(self):
        self.assert_lost(self.ask(tls={"insecure_loopback": True}), "does not answer")
        plain = self.home.start("node", "--listen", "127.0.0.1:0", "--insecure-loopback")
        try:
            self.address = Lines(plain.stdout).until("listening on").split("listening on ")[1].strip()
            self.assert_lost(self.ask(), "does not speak TLS")
            result = self.ask(tls={"insecure_loopback": True})
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertFalse([e for e in events_of(result.stdout) if e["type"] == "agent_out"])
        finally:
            plain.terminate()
            plain.communicate(timeout=10)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
