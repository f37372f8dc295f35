# SPDX-License-Identifier: Apache-2.0
"""A node as its operator sees it: what it logs, whether it can be joined, how it ends."""

import re
import shutil
import socket
import unittest

from support import *

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [a-z_]+( [a-z_]+=(\"([^\"\\]|\\.)*\"|[^ \"=]+))*$")


def slow(text="the end", delay=0):
    return [{"answer": "x", "first_delay_ms": delay}, {"vote": "agent1", "reason": "fine"}, {"text": text, "optional": True}]


class Node:
    def __init__(self, home, *args):
        self.process = home.start("node", "--listen", "127.0.0.1:0", *args)
        self.json = "--json" in args
        self.out = Lines(self.process.stdout)
        self.log = self.out if self.json else Lines(self.process.stderr)
        if self.json:
            self.address = json.loads(self.out.next(time.monotonic() + 20))["address"]
        else:
            self.address = self.out.until("listening on").split("listening on ")[1].strip()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
        while self.log.next(time.monotonic() + 10) is not None:
            pass
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        return self.log.seen


def types(lines):
    return [line.split(" ")[1] for line in lines]


class AsOperated(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.node = None

    def tearDown(self):
        if self.node:
            self.node.process.kill()
            self.node.process.communicate()
        self.home.__exit__()

    def start(self, *args):
        self.node = Node(self.home, *args)
        return self.node

    def team(self, steps, name="team.json", **backend):
        a = agent("far", steps, node="n")
        a["backend"].update(backend)
        return self.home.write(name, {"agents": [a], "cluster": {"nodes": {"n": self.node.address}}})

    def test_each_thing_that_happens_is_one_line_of_the_log(self):
        self.home.env["GROQ_API_KEY"] = "gsk-secret-1234567890"
        node = self.start("-v")
        self.assertEqual(self.home.run("--config", self.team(slow()), "q").returncode, 0)
        # A failure, and a key that is missing.
        broken = {"agents": [{"id": "x", "node": "n", "backend": {"type": "vllm", "model": "m", "base_url": "http://127.0.0.1:9/v1"}},
                             {"id": "y", "node": "n", "backend": {"type": "claude", "model": "claude-sonnet-4-6"}}],
                  "cluster": {"nodes": {"n": node.address}}, "timeout_settings": {"orchestrator_timeout_seconds": 3}}
        self.home.run("--config", self.home.write("broken.json", broken), "q")
        with Home() as stranger:
            stranger.run("--config", stranger.write("t.json", json.loads(pathlib.Path(self.team(slow())).read_text())), "q")
        node.log.until("refused peer=")
        log = node.stop()
        print("\n".join(log))
        for line in log:
            self.assertRegex(line, STAMP)
            self.assertNotIn("gsk-secret", line)
        seen = types(log)
        for t in ["listening", "connected", "caller_joined", "task_started", "agent_ready", "run_started", "run_ended", "task_ended",
                  "agent_refused", "run_failed", "refused", "disconnected", "node_ending", "node_ended"]:
            self.assertIn(t, seen)
        self.assertEqual((seen[0], seen[-1]), ("listening", "node_ended"))
        for begin, end in (("task_started", "task_ended"), ("connected", "disconnected")):
            self.assertEqual(seen.count(begin), seen.count(end))
        self.assertEqual(seen.count("refused"), 1)
        self.assertRegex(log[0], r"version=\S+ protocol=\d+ authority=([0-9A-F]{2}:){31}[0-9A-F]{2} keys=\S*GROQ_API_KEY")
        self.assertRegex([x for x in log if " caller_joined " in x][0], r" peer=\S+ protocol=\d+ build=\d+\.\d+")
        if shutil.which("openssl"):
            ca = self.home.path / "home" / "tls" / "ca.pem"
            r = subprocess.run(["openssl", "x509", "-in", ca, "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True)
            self.assertIn(r.stdout.strip().split("=")[1], log[0])
        self.assertIn(str(self.home.path / "home" / "tls" / "ca.pem"), [x for x in log if " refused " in x][0])

    def fields(self, line):
        return {k: json.loads(v) if v.startswith('"') else v for k, v in re.findall(r" ([a-z_]+)=(\"(?:[^\"\\]|\\.)*\"|[^ \"]+)", line)}

    def of(self, log, kind):
        return [self.fields(x) for x in log if x.split(" ")[1] == kind]

    def test_a_task_is_followed_from_its_callers_address_to_what_it_cost(self):
        node = self.start()
        self.assertEqual(self.home.run("--config", self.team(slow()), "q").returncode, 0)
        node.log.until(" disconnected ")
        killed = self.home.start("--config", self.team([{"text": "half", "hang": True}]), "q")
        node.log.until("agent_ready")
        killed.kill()
        killed.communicate()
        while types(node.log.seen).count("disconnected") + types(node.log.seen).count("task_ended") < 4:
            node.log.next(time.monotonic() + 20)  # in either order
        log = node.stop()
        begin, end = ["connected", "task_started", "agent_ready"], ["task_ended", "disconnected"]
        seen = types(log)
        self.assertEqual(seen[:9], ["listening", *begin, *end, *begin])
        self.assertEqual(sorted(seen[9:11]), sorted(end))
        self.assertEqual(seen[11:], ["node_ending", "node_ended"])
        connected, started, ended, gone = (self.of(log, x) for x in ("connected", "task_started", "task_ended", "disconnected"))
        for i in range(2):
            self.assertRegex(connected[i]["peer"], r"^127\.0\.0\.1:\d+$")
            self.assertEqual({x[i]["peer"] for x in (connected, started, ended, gone)}, {connected[i]["peer"]})
            self.assertEqual(started[i]["task"], ended[i]["task"])
            self.assertLess(float(ended[i]["seconds"]), 20)
        self.assertNotEqual(connected[0]["peer"], connected[1]["peer"])
        self.assertEqual([x["why"] for x in ended], ["over", "its caller is gone"])
        self.assertEqual([ended[0][x] for x in ("runs", "failed", "calls")], ["3", "0", "3"])
        self.assertGreater(int(ended[0]["input_tokens"]), 0)
        self.assertIn("the caller closed it", gone[0]["why"])

    def test_a_tool_server_that_floods_is_said_once(self):
        node = self.start()
        steps = [{"calls": [{"name": "mcp__bad__echo", "arguments": "{}"}]}, *slow()]
        server = {"command": sys.executable, "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "floods", "notifications"]}
        self.home.run("--config", self.team(steps, mcp_servers={"bad": server}), "q")
        lost = [x for x in node.stop() if " tools_" in x]
        self.assertEqual(len(lost), 1, lost)
        self.assertEqual(lost[0].count("MCP server 'bad'"), 1, lost[0])

    def test_strangers_that_say_nothing_or_nonsense_are_a_line_each_until_they_flood(self):
        node = self.start()
        at = ("127.0.0.1", int(node.address.rsplit(":", 1)[1]))
        socket.create_connection(at).close()
        node.log.until("hung up without a word")
        with socket.create_connection(at) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n")
            node.log.until("does not speak TLS")
        with socket.create_connection(at):
            node.log.until("said nothing")
        begun = time.monotonic()
        for _ in range(2000):
            socket.create_connection(at).close()
        seconds = time.monotonic() - begun
        with socket.create_connection(at, source_address=("127.0.0.2", 0)) as s:  # another one is still seen
            s.sendall(b"GET /\r\n\r\n")
            self.assertIn(" peer=127.0.0.2:", node.log.until("does not speak TLS"))
        log = node.stop()
        refused = [self.fields(x) for x in log if " refused " in x or " lines_left_out " in x]
        self.assertLess(len(refused), 3 + 20 + 2 + seconds / 6 + 2)
        self.assertEqual(sum("of" not in x for x in refused) + sum(int(x.get("left_out_before", 0)) for x in refused), 2004)

    def test_with_json_every_line_of_standard_output_is_an_object(self):
        node = self.start("--json")
        self.assertEqual(self.home.run("--config", self.team(slow()), "q").returncode, 0)
        log = [json.loads(x) for x in node.stop()]
        self.assertEqual(log[0]["type"], "listening")
        self.assertEqual([x["type"] for x in log if x["type"].startswith("task")], ["task_started", "task_ended"])
        self.assertTrue(all(re.match(r"\d{4}-.*Z$", x["time"]) for x in log))
        ended = [x for x in log if x["type"] == "task_ended"][0]
        for name in ("runs", "failed", "agents", "calls", "input_tokens", "output_tokens"):
            self.assertIs(type(ended[name]), int, name)
        self.assertIn(type(ended["seconds"]), (int, float))
        self.assertIs(type(ended["task"]), str)
        self.assertIs(type(log[0]["protocol"]), int)

    def test_quiet_leaves_failures(self):
        node = self.start("-q")
        self.assertEqual(self.home.run("--config", self.team(slow()), "q").returncode, 0)
        self.assertEqual(node.stop(), [])

    def test_check_says_whether_a_run_would_get_in(self):
        node = self.start()
        r = self.home.run("node", "--check", node.address)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertRegex(r.stdout, r"^node \S+: ok, conclave \S+, protocol \d+, authority ([0-9A-F]{2}:){31}[0-9A-F]{2}\n$")
        said = json.loads(self.home.run("node", "--check", node.address, "--json").stdout)
        self.assertEqual((said["ok"], said["error"], said["node"]), (True, "", node.address))
        with Home() as stranger:
            r = stranger.run("node", "--check", node.address)
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn("certificate", r.stderr)
            self.assertIn("ca.pem", r.stderr)
        for address, why in (("127.0.0.1:1", "refused"), ("no-such-host.invalid:1", "resolved")):
            r = self.home.run("node", "--check", address)
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn(why, r.stderr)
        for args in (["--check", node.address, "--listen", "127.0.0.1:0"], ["--check", "127.0.0.1:0"], ["--check", "x"], []):
            self.assertEqual(self.home.run("node", *args).returncode, 1)

    def test_a_signal_lets_tasks_end_and_takes_no_new_one(self):
        node = self.start()
        config = self.team(slow(delay=2500))
        p = self.home.start("--config", config, "q")
        node.log.until("agent_ready")
        node.process.send_signal(signal.SIGTERM)
        node.log.until("node_ending")
        r = self.home.run("node", "--check", node.address)
        self.assertEqual(r.returncode, 1)
        self.assertIn("is ending", r.stderr)
        out, err = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out), (0, b"the end\n"), err)
        log = node.stop(signal.SIGCONT)
        self.assertEqual(node.process.returncode, 0)
        self.assertEqual([x for x in types(log) if x.startswith(("task_", "node_"))], ["task_started", "node_ending", "task_ended", "node_ended"])

    def test_the_grace_ends_and_a_second_signal_does_not_wait(self):
        for args, signals, code in ((["--grace", "0.5"], 1, 0), (["--grace", "0"], 1, 0), ([], 2, 4)):
            node = self.start(*args)
            p = self.home.start("--config", self.team([{"text": "half", "hang": True}]), "q")
            node.log.until("agent_ready")
            t = time.monotonic()
            for i in range(signals):
                if i > 0:
                    node.log.until("node_ending")
                node.process.send_signal(signal.SIGTERM)
            node.process.wait(timeout=10)
            self.assertLess(time.monotonic() - t, 5)
            self.assertEqual(node.process.returncode, code)
            p.kill()
            p.communicate()
            node.stop()

    def test_a_stopped_reader_of_the_log_keeps_no_task_waiting(self):
        node = self.start("-v")  # nobody reads its standard error from here on
        for i in range(3):
            self.assertEqual(self.home.run("--config", self.team(slow()), "q").returncode, 0)
        self.assertEqual(len([x for x in types(node.stop()) if x == "task_ended"]), 3)

    def certificates(self, **times):
        """Makes an authority and certificates of it with a begin and an end each; returns their folder."""
        tls = self.home.path / "t"
        tls.mkdir()
        run = lambda *a: subprocess.run(["openssl", *a], cwd=tls, check=True, capture_output=True)
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj",
            "/CN=ca", "-days", "3650")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=n")
        (tls / "index").write_text("")
        (tls / "c.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\nrand_serial=yes\ndefault_md=sha256\n"
                                   "policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        for name, (start, end) in times.items():
            run("ca", "-batch", "-config", "c.cnf", "-in", "node.csr", "-out", f"{name}.pem", "-keyfile", "ca.key", "-cert", "ca.pem", "-startdate",
                f"{start}0101000000Z", "-enddate", f"{end}0101000000Z")
        return tls

    @unittest.skipUnless(shutil.which("openssl"), "no openssl")
    def test_a_caller_with_a_certificate_that_does_not_count_is_one_line(self):
        tls = self.certificates(good=(2020, 2040), old=(2020, 2021), new=(2035, 2040))
        node = self.start("--tls-cert", str(tls / "good.pem"), "--tls-key", str(tls / "node.key"), "--tls-ca", str(tls / "ca.pem"))
        cases = ((["-cert", "old.pem", "-key", "node.key"], "certificate has expired"),
                 (["-cert", "new.pem", "-key", "node.key"], "certificate is not yet valid"),
                 ([], "did not return a certificate"),
                 (["-tls1_2"], "does not speak TLS 1.3"))
        for args, why in cases:
            subprocess.run(["openssl", "s_client", "-connect", node.address, "-CAfile", "ca.pem", *args], cwd=tls, input=b"", capture_output=True)
            self.assertIn(why, node.log.until(" refused peer=127.0.0.1:"))
        # One of ours that speaks no protocol of ours.
        subprocess.run(["openssl", "s_client", "-connect", node.address, "-CAfile", "ca.pem", "-cert", "good.pem", "-key", "node.key"], cwd=tls,
                       input=b"x" * 200 + b"\n", capture_output=True)
        node.log.until(" disconnected ")
        self.assertEqual(types(node.stop()), ["listening", *["refused"] * len(cases), "connected", "disconnected", "node_ending", "node_ended"])

    @unittest.skipUnless(shutil.which("openssl"), "no openssl")
    def test_a_certificate_out_of_its_time_names_its_file_and_the_clock(self):
        tls = self.certificates(old=(2020, 2021), new=(2040, 2041))
        for name, start, why in (("old", "2020", "expired"), ("new", "2040", "not yet valid")):
            r = self.home.run("node", "--listen", "127.0.0.1:0", "--tls-cert", str(tls / f"{name}.pem"), "--tls-key", str(tls / "node.key"),
                              "--tls-ca", str(tls / "ca.pem"))
            self.assertEqual(r.returncode, 1)
            self.assertIn(str(tls / f"{name}.pem"), r.stderr)
            self.assertIn(why, r.stderr)
            self.assertIn(f"{start}-01-01", r.stderr)
            self.assertIn(time.strftime("the clock of this machine says %Y-%m-%d", time.gmtime()), r.stderr)
        r = self.home.run("node", "--listen", "127.0.0.1:0", "--tls-cert", str(tls / "gone.pem"), "--tls-key", str(tls / "node.key"), "--tls-ca",
                          str(tls / "ca.pem"))
        self.assertIn(f"{tls}/gone.pem: No such file or directory", r.stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
    def test_the_unit_for_systemd_is_valid(self):
        unit = (ROOT / "configs" / "conclave-node.service").read_text().replace("/usr/local/bin/conclave", str(BIN)).replace("User=conclave", "User=root")
        path = self.home.write("conclave-node.service", unit)
        r = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
        self.assertEqual([x for x in (r.stdout + r.stderr).splitlines() if "conclave-node" in x], [])


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
