# SPDX-License-Identifier: Apache-2.0
"""Strangers flood the port of a node with connections that never show a certificate; callers behind slow lines must still get in.

CONCLAVE_FLOOD=N is the number of connections per second (default 1000), CONCLAVE_FLOOD_CALLERS the callers for each delay (default 2).
"""

import re
import selectors
import socket
import threading
import unittest

from support import *

RATE = int(os.environ.get("CONCLAVE_FLOOD", "1000"))
CALLERS = int(os.environ.get("CONCLAVE_FLOOD_CALLERS", "2"))

# A process of its own: the flood must not wait for the proxy. Keeps at most 3000 connections open, the oldest go first.
FLOOD = r'''
import collections, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
port, rate, say, source = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4]
held, begun, n = collections.deque(), time.monotonic(), 0
print("flooding", flush=True)
while True:
    due = int((time.monotonic() - begun) * rate)
    while n < due:
        n += 1
        s = socket.socket()
        s.setblocking(False)
        s.bind((source, 0))
        s.connect_ex(("127.0.0.1", port))
        if say and held:
            try:
                held[-1].send(say)
            except OSError:
                pass
        held.append(s)
        if len(held) > 3000:
            held.popleft().close()
    time.sleep(0.001)
'''


class DelayProxy:
    """Passes bytes on after half a round trip, each way."""

    def __init__(self, port, round_trip):
        self.port, self.delay = port, round_trip / 2
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(near,), daemon=True).start()

    def serve(self, near):
        try:
            far = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            near.close()
            return
        late, selector = [], selectors.DefaultSelector()
        for a, b in ((near, far), (far, near)):
            selector.register(a, selectors.EVENT_READ, b)
        while True:
            wait = max(0, late[0][0] - time.monotonic()) if late else None
            for key, _ in selector.select(wait):
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                late.append((time.monotonic() + self.delay, key.data, data))
                if not data:
                    selector.unregister(key.fileobj)
            while late and late[0][0] <= time.monotonic():
                _, to, data = late.pop(0)
                try:
                    if data:
                        to.sendall(data)
                        continue
                except OSError:
                    pass
                for s in (near, far):
                    s.close()
                return

    def close(self):
        self.server.close()


class NodeFlood(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.begun = time.monotonic()
        self.node = self.home.start("node", "--listen", "127.0.0.1:0")
        self.port = int(Lines(self.node.stdout).until("listening on").rsplit(":", 1)[1])

    def tearDown(self):
        self.node.terminate()
        _, log = self.node.communicate(timeout=10)
        self.assertEqual(self.node.returncode, 0)
        self.home.__exit__()
        # A stranger is a line, a flood is a few, with a count.
        refused = log.count(b" refused ")
        self.assertLess(refused, 100 + (time.monotonic() - self.begun) / 2 + 2)
        self.assertGreater(sum(int(n) for n in re.findall(rb"left_out_before=(\d+)", log)), 10 * refused)

    def callers_get_in(self, *flood):
        floods = [subprocess.Popen([sys.executable, "-c", FLOOD, str(self.port), *map(str, f)], stdout=subprocess.PIPE) for f in flood]
        try:
            for f in floods:
                Lines(f.stdout).until("flooding")
            for ms in (10, 50, 100):
                proxy = DelayProxy(self.port, ms / 1000)
                steps = [{"answer": "x"}, {"vote": "agent1"}, {"text": "the end", "optional": True}]
                config = {"agents": [agent("near", steps), agent("far", steps, node="n")], "cluster": {"nodes": {"n": proxy.address}}}
                for _ in range(CALLERS):
                    r = self.home.run("--config", self.home.write("team.json", config), "--json", "q")
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.assertEqual([e.get("reason") for e in events_of(r.stdout) if e["type"] == "agent_out"], [], f"{ms} ms")
                proxy.close()
        finally:
            for f in floods:
                f.kill()
                f.communicate()

    def test_silent_strangers_of_the_callers_own_address(self):
        self.callers_get_in((RATE, "", "127.0.0.1"))

    def test_silent_strangers_of_other_addresses(self):
        self.callers_get_in((RATE // 2, "", "127.0.0.2"), (RATE // 2, "", "127.0.0.3"))

    def test_strangers_that_begin_to_speak(self):
        self.callers_get_in((RATE // 4, "\x16", "127.0.0.2"), (RATE // 4, "\x16", "127.0.0.3"))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
