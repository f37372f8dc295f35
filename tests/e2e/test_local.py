# SPDX-License-Identifier: Apache-2.0
"""`type: local` with a server that has llama-server's options and a mind of its own: shared, killed, never left behind."""

import unittest

from support import *

# Notes its pid, answers every question, and ends with its stdin. With a file `die` beside it, it kills itself once in mid-stream.
SERVER = r'''#!/usr/bin/env python3
import http.server, json, os, signal, sys, threading, time
here = os.path.dirname(os.path.abspath(__file__))
open(here + "/pids", "a").write("%d\n" % os.getpid())
key = os.environ["LLAMA_API_KEY"]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a):
        pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def piece(self, text):
        data = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer " + key:
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "response_format" in request:
            schema = json.dumps(request["response_format"])
            self.piece(json.dumps({"action": "vote", "agent_id": "agent1", "reason": "good"} if '"agent1"' in schema else {"action": "new_answer"}))
        else:
            self.piece("an answer ")
            try:
                os.remove(here + "/die")
                os.kill(os.getpid(), signal.SIGKILL)
            except FileNotFoundError:
                pass
            while os.path.exists(here + "/slow"):
                time.sleep(0.05)
            self.piece("of the model")
        end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
server = Server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
os._exit(0)
'''


class Local(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.server = pathlib.Path(self.home.write("server", SERVER))
        self.server.chmod(0o755)
        model = self.home.write("model.gguf", "GGUF, not read by this server")
        backend = {"type": "local", "server": str(self.server), "model_path": model}
        self.team = self.home.write("team.json", {"agents": [{"id": f"m{i}", "backend": backend} for i in range(3)]})

    def tearDown(self):
        self.home.__exit__()

    def pids(self):
        notes = self.server.with_name("pids")
        return [int(p) for p in notes.read_text().split()] if notes.exists() else []

    def wait_for(self, what, reason):
        deadline = time.monotonic() + 10
        while not what():
            self.assertLess(time.monotonic(), deadline, reason)
            time.sleep(0.02)

    def assert_none_left(self):
        self.wait_for(lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in self.pids()), "a model server is left behind")

    def test_three_agents_share_one_server_that_ends_with_the_run(self):
        r = self.home.run("--config", self.team, "--json", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(len(self.pids()), 1)
        self.assert_none_left()
        self.assertEqual(model_calls(events_of(r.stdout)), 2 * 3 + 1)

    def test_a_server_that_dies_in_mid_stream_is_started_again(self):
        self.server.with_name("die").touch()
        r = self.home.run("--config", self.team, "--json", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(len(self.pids()), 2)
        self.assert_none_left()
        self.assertEqual([e["text"] for e in events_of(r.stdout) if e["type"] == "final_answer"], ["an answer of the model"])

    def test_kill_9_of_the_engine_leaves_no_server(self):
        self.server.with_name("slow").touch()
        with self.home.start("--config", self.team, "q") as p:
            self.wait_for(self.pids, "no model server")
            time.sleep(0.3)
            p.kill()
            p.wait()
        self.assert_none_left()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
