# SPDX-License-Identifier: Apache-2.0
"""Which task `conclave resume` takes where none is named, and that one which was played from a recording is gone on with by nobody."""

import asyncio
import shutil
import unittest

from provider import Provider
from support import *


class Which(unittest.TestCase):
    def setUp(self):
        self.home = Home()

    def tearDown(self):
        self.home.__exit__()

    def ask(self, question, *args):
        r = self.home.run("-c", self.home.write("calm.json", calm_team(1)), question, *args)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r

    def newest(self):
        return json.loads(self.home.run("list", "--json").stdout.split("\n")[0])

    def cut_off(self, question):
        team = {"agents": [agent("slow", [{"answer": "done at last", "first_delay_ms": 1500}, {"text": "done at last", "optional": True}])]}
        p = self.home.start("-c", self.home.write("slow.json", team), "--json", question)
        Lines(p.stdout).until('"call_started"')
        p.kill()
        p.wait()
        p.stdout.close(), p.stderr.close()
        return self.newest()["task"]

    def test_the_newest_without_an_answer_and_says_so(self):
        for named in ([], ["last"]):
            with self.subTest(named=named):
                task = self.cut_off("the one that matters")
                self.ask("another one meanwhile")
                newest = self.newest()["task"]
                r = self.home.run("resume", *named)
                self.assertEqual((r.returncode, r.stdout), (0, "done at last\n"), r.stderr)
                self.assertIn(f"the newest without an answer, task {task} (the one that matters); the newest is {newest}", r.stderr)
        r = self.home.run("resume")  # all are answered: the newest
        self.assertEqual((r.returncode, r.stdout), (0, "the final answer\n"), r.stderr)
        self.assertNotIn("the newest", r.stderr)

    def recorded(self, provider):
        """A recording of a run that was interrupted, whose team starts a program."""
        mark = self.home.path / "ran"
        with Home() as sender:
            sender.env["OPENAI_API_KEY"] = "sk-sender-0000000000"
            team = sender.write("t.json", {"agents": [{"id": "a", "backend": {
                "type": "chatcompletion", "model": "m", "base_url": provider.url + "/v1", "api_key": "${OPENAI_API_KEY}",
                "mcp_servers": [{"name": "s", "command": "python3", "args": ["-c", f"open({str(mark)!r}, 'a').write('x')"]}]}}]})
            p = sender.start("-c", team, "--record", "c.cassette", "--json", "q")
            Lines(p.stdout).until(lambda line: '"call_started"' in line and '"target":"model"' in line)
            p.send_signal(signal.SIGINT)
            p.communicate(timeout=30)
            self.assertEqual(p.returncode, 4)
            shutil.copy(sender.path / "c.cassette", self.home.path / "c.cassette")
        mark.unlink()
        return mark

    def test_a_task_that_was_played_is_never_run(self):
        keys, hang = [], True

        async def behave(provider, request, reply):
            keys.append(request["headers"].get("authorization"))
            if hang:
                await reply.head()
                await reply.chunk(b": x\n\n")
                await asyncio.sleep(1000)
            await reply.decide("x")

        provider = Provider(behave)
        try:
            mark = self.recorded(provider)
            keys.clear()
            hang = False
            own = self.cut_off("my own one")
            self.home.env["OPENAI_API_KEY"] = "sk-player-1111111111"
            self.assertEqual(self.home.run("replay", "./c.cassette").returncode, 4)
            played = self.newest()
            self.assertEqual((played["outcome"], played.get("played"), played.get("resumable")), ("interrupted", True, None))
            self.assertRegex(self.home.run("list").stdout, r"\(played\) q\n")
            log = self.home.run("show", played["task"], "--json").stdout
            for named in (["--json"], ["last"], []):
                r = self.home.run("resume", *named)
                self.assertEqual(r.returncode, 0, r.stderr)
                if named == ["--json"]:
                    self.assertIn("done at last", r.stdout)
                    self.assertEqual({json.loads(x)["task"] for x in self.home.run("list", "--json").stdout.split("\n") if x}, {own, played["task"]})
                else:
                    self.assertEqual(r.stdout, "done at last\n")
            r = self.home.run("resume", played["task"])
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("was played from a recording", r.stderr)
            self.assertEqual(self.home.run("show", played["task"], "--json").stdout, log)
            self.assertFalse(keys)
            self.assertFalse(mark.exists())
            self.assertEqual(self.home.run("rm", own).returncode, 0)
            r = self.home.run("resume")  # it is the only one
            self.assertEqual((r.returncode, keys, mark.exists()), (1, [], False), r.stderr)
        finally:
            provider.stop()


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
