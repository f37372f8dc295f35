# SPDX-License-Identifier: Apache-2.0
"""Images and PDF files that go with a question: from a path, an address or a data URL to the wire form of each API, over nodes, crashes and
recordings; and what is refused before the first call."""

import base64
import http.server
import threading
import unittest

from provider import Provider
from support import *
from test_cluster import Node

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n" + bytes(range(256)) * 40
KINDS = ("chatcompletion", "openai", "claude", "gemini")


def text_of(data):
    return base64.b64encode(data).decode()


def files_of(request):
    """The files of a request as (type, base64), by the strict form of its API: anything else beside text raises."""
    def data_url(x):
        assert x.startswith("data:"), x[:40]
        kind, data = x[5:].split(";base64,")
        return kind, data

    out = []
    if ":streamGenerateContent" in request["path"]:
        for c in request["contents"]:
            for p in c["parts"]:
                if "inlineData" in p:
                    assert set(p) == {"inlineData"} and set(p["inlineData"]) == {"mimeType", "data"}, p
                    out.append((p["inlineData"]["mimeType"], p["inlineData"]["data"]))
        return out
    for m in request.get("messages") or request["input"]:
        if m.get("role") != "user" or isinstance(m["content"], str):
            continue
        for p in m["content"]:
            if p["type"] in ("text", "input_text"):
                assert set(p) == {"type", "text"}, p
            elif p["type"] == "image_url":
                assert set(p) == {"type", "image_url"} and set(p["image_url"]) == {"url"}, p
                out.append(data_url(p["image_url"]["url"]))
            elif p["type"] == "file":
                assert set(p) == {"type", "file"} and set(p["file"]) == {"filename", "file_data"}, p
                out.append(data_url(p["file"]["file_data"]))
            elif p["type"] == "input_image":
                assert set(p) == {"type", "detail", "image_url"}, p
                out.append(data_url(p["image_url"]))
            elif p["type"] == "input_file":
                assert set(p) == {"type", "filename", "file_data"}, p
                out.append(data_url(p["file_data"]))
            elif p["type"] in ("image", "document"):
                assert set(p) == {"type", "source"} and p["source"]["type"] == "base64", p
                assert (p["type"] == "document") == (p["source"]["media_type"] == "application/pdf"), p
                out.append((p["source"]["media_type"], p["source"]["data"]))
            elif p["type"] != "tool_result":
                raise AssertionError(p)
    return out


class Web:
    """Serves files by plain HTTP on loopback: `pages` are (status, headers, body) by path."""

    def __init__(self, pages):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = pages[self.path]
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except ConnectionError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


class Files(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.home.env["TEST_KEY"] = "sk-of-a-test"
        self.providers = []
        (self.home.path / "a.png").write_bytes(PNG)
        (self.home.path / "b.dat").write_bytes(PDF)

    def tearDown(self):
        for p in self.providers:
            p.stop()
        self.home.__exit__()

    def serve(self):
        async def behave(provider, request, reply):
            request["files"] = files_of(request)
            await reply.decide("a red dot")

        self.providers.append(Provider(behave))
        return self.providers[-1]

    def agent(self, kind, provider, name="a", **backend):
        url = provider.url + ("" if kind in ("claude", "gemini") else "/v1")
        return {"id": name, "backend": {"type": kind, "model": "m", "api_key": "${TEST_KEY}", "base_url": url, **backend}}

    def team(self, *agents, **more):
        return self.home.write("team.json", {"agents": list(agents), **more})

    def seen(self, provider):
        self.assertTrue(provider.requests)
        for r in provider.requests:
            self.assertIn("files", r, "the request was not read to its end")
        return [r["files"] for r in provider.requests]

    def test_each_api_gets_image_and_document_in_every_request(self):
        for kind in KINDS:
            with self.subTest(kind):
                p = self.serve()
                r = self.home.run("--config", self.team(self.agent(kind, p)), "-f", "a.png", "-f", "b.dat", "--json", "What is this?")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                for files in self.seen(p):
                    self.assertEqual(files, [("image/png", text_of(PNG)), ("application/pdf", text_of(PDF))])
                self.assertIn("a.png (image/png, 68 bytes)", json.dumps(p.requests[0]))
                self.assertLess(len(r.stdout), 30_000)  # no event holds them
                self.assertIn("file      a.png (image/png, 68 bytes)", self.home.run("show", "last").stdout)

    def test_files_of_the_team_go_to_their_agent_alone(self):
        p, q = self.serve(), self.serve()
        team = self.team(self.agent("claude", p, "one", upload_files=[{"image_path": "a.png"}, {"file_path": "b.dat"}]), self.agent("openai", q, "two"))
        r = self.home.run("--config", team, "What is this?")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual({len(f) for f in self.seen(p)}, {2})
        self.assertEqual({len(f) for f in self.seen(q)}, {0})

    def test_data_urls_and_addresses_are_read_once(self):
        web = Web({"/x?key=secret": (200, {"Content-Type": "text/html"}, PNG), "/r": (302, {"Location": "/x"}, b""), "/no": (404, {}, b"gone"),
                   "/big": (200, {}, PNG + bytes(2 << 20)), "/text": (200, {}, b"<html>")})
        try:
            p = self.serve()
            team = self.team(self.agent("claude", p, media_max_file_size_mb=1))
            r = self.home.run("--config", team, "--loopback-files", "-f", web.url + "/x?key=secret", "-f", "data:image/gif;base64," + text_of(PNG), "q")
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(self.seen(p)[0], [("image/png", text_of(PNG))] * 2)
            self.assertNotIn("secret", json.dumps(p.requests) + r.stderr)
            for path, said in (("/r", "give that one"), ("/no", "404"), ("/text", "neither an image")):
                r = self.home.run("--config", team, "--loopback-files", "-f", web.url + path, "q")
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn(said, r.stderr)
            big = self.team(self.agent("claude", p, media_max_file_size_mb=1, upload_files=[{"image_path": web.url + "/big"}]))
            r = self.home.run("--config", big, "--loopback-files", "q")
            self.assertEqual(r.returncode, 1)
            self.assertIn("exceeds", r.stderr)
            before = len(p.requests)
            r = self.home.run("--config", team, "-f", web.url + "/x", "q")
            self.assertEqual((r.returncode, len(p.requests)), (1, before))
            self.assertIn("on this machine", r.stderr)
            for name in ("127.1", "2130706433", "0x7f000001", "127.0.0.1.nip.io"):  # other spellings: judged as they are connected to
                r = self.home.run("--config", team, "-f", f"https://{name}:{web.server.server_address[1]}/x", "q", timeout=60)
                self.assertEqual(r.returncode, 1, r.stderr)
        finally:
            web.stop()

    def test_what_cannot_be_shown_ends_the_run_before_its_first_call(self):
        p = self.serve()
        (self.home.path / "x.png").write_bytes(b"GIF88a not an image \xff")
        (self.home.path / "a.gif").write_bytes(b"GIF89a" + bytes(20))
        (self.home.path / "big.png").write_bytes(PNG + bytes((5 << 20) - len(PNG) + 1))
        for kind, files, said in (("claude", ["big.png"], "5 MiB at most"), ("gemini", ["a.gif"], "convert it to PNG"),
                                  ("chatcompletion", ["none.png"], "cannot be opened"),
                                  ("claude", ["ftp://user:password@h/x.png"], "--file ftp://...: nothing is fetched by ftp:, only by https:")):
            r = self.home.run("--config", self.team(self.agent(kind, p)), *[x for f in files for x in ("-f", f)], "q")
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn(said, r.stderr)
        for name, data, said in (("i.png", b"hello", "is neither an image"), ("i.PDF", b"hello", "is neither an image"), ("e.jpeg", b"", "is empty"),
                                 ("w.webp", b"RIFF....WAVEfmt ", "is a sound"), ("h.jpg", b"<html>", "whatever its name says; a text needs another")):
            (self.home.path / name).write_bytes(data)
            for given in (name, f"file://{self.home.path}/{name}"):
                r = self.home.run("--config", self.team(self.agent("claude", p)), "-f", "a.png", "-f", given, "q")
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertRegex(r.stderr, f"{name}: .*{said}")
        r = self.home.run("--config", self.team(self.agent("claude", p, upload_files=[{"image_path": "x.png"}])), "q")
        self.assertEqual(r.returncode, 1)
        self.assertIn("agents[0].backend.upload_files: x.png: is neither an image", r.stderr)
        for key in ("audio_path", "video_path"):
            r = self.home.run("--config", self.team(self.agent("claude", p, upload_files=[{key: "x.wav"}])), "q")
            self.assertEqual(r.returncode, 1)
            self.assertIn("not available yet", r.stderr)
        self.assertEqual(p.requests, [])

    def test_validate_looked_only_whether_a_file_is_there(self):
        """It says what a run would say, of every file at once."""
        p = self.serve()
        (self.home.path / "x.png").write_bytes(b"GIF88a not an image \xff")
        (self.home.path / "big.png").write_bytes(PNG + bytes((5 << 20) - len(PNG) + 1))
        cases = (("claude", {}, {"image_path": "x.png"}, "is neither an image"), ("claude", {}, {"image_path": "none.png"}, "cannot be opened"),
                 ("claude", {}, {"image_path": "b.dat"}, "is a PDF by its first bytes"), ("claude", {}, {"image_path": "big.png"}, "5 MiB at most"),
                 ("claude", {"media_max_file_size_mb": 1}, {"image_path": "big.png"}, "has more than 1 MiB"),
                 ("claude", {}, {"file_path": "."}, "is a folder"), ("claude", {}, {"image_path": "data:image/png;base64,@@"}, "holds no base64"),
                 ("claude", {}, {"image_path": "http://example.com/x.png"}, "is fetched by https:// alone"),
                 ("chatcompletion", {"model": "gpt-3.5-turbo"}, {"image_path": "a.png"}, "it takes text alone"))
        for kind, more, file, said in cases:
            team = self.team(self.agent(kind, p, upload_files=[{"image_path": "a.png"}, file], **more))
            r = self.home.run("validate", team)
            self.assertIn(said, r.stdout, file)
            self.assertIn("will not run here", r.stdout)
            self.assertEqual(self.home.run("validate", "--here", team).returncode, 1)
            r = self.home.run("--config", team, "q")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertIn(said, r.stderr)
        self.assertEqual(p.requests, [])
        r = self.home.run("validate", self.team(self.agent("claude", p, upload_files=[{"image_path": "a.png"}, {"file_path": "b.dat"}])))
        self.assertNotIn("upload_files", r.stdout)

    def test_a_file_behind_a_sound_is_told_by_its_own_place(self):
        team = "agent:\n  backend:\n    type: claude\n    model: m\n    upload_files:\n" + "".join(
            f"      - {{{entry}}}\n" for entry in ("audio_path: x.mp3", "image_path: /no/a.png", "video_path: x.mp4", "file_path: /no/b.pdf"))
        r = self.home.run("validate", self.home.write("t.yaml", team))
        for line, where in ((6, "[0].audio_path: will"), (7, "[1].image_path: will not run here: /no/a.png: cannot be opened"), (8, "[2].video_path: will"),
                            (9, "[3].file_path: will not run here: /no/b.pdf: cannot be opened")):
            self.assertIn(f"t.yaml:{line}: agent.backend.upload_files{where}", r.stdout)

    def test_models_yaml_says_what_a_model_can_see(self):
        p = self.serve()
        (self.home.path / "config" / "conclave").mkdir(parents=True)
        self.home.env["XDG_CONFIG_HOME"] = str(self.home.path / "config")
        rows = "models:\n  - {provider: 127.0.0.1, model: blind, images: false}\n  - {provider: 127.0.0.1, model: o1-mini, images: true}\n"
        self.home.write("config/conclave/models.yaml", rows)
        for model, code in (("blind", 1), ("o1-mini", 0)):
            r = self.home.run("--config", self.team(self.agent("chatcompletion", p, model=model, upload_files=[{"image_path": "a.png"}])), "q")
            self.assertEqual(r.returncode, code, r.stderr)

    def test_a_task_that_was_cut_off_goes_on_with_its_files(self):
        hung, p = threading.Event(), None

        async def behave(provider, request, reply):
            request["files"] = files_of(request)
            if not hung.is_set():
                hung.set()
                await asyncio.sleep(60)
            await reply.decide("a red dot")

        import asyncio
        p = Provider(behave)
        self.providers.append(p)
        (self.home.path / "long.pdf").write_bytes(PDF + bytes(9 << 20))
        process = self.home.start("--config", self.team(self.agent("openai", p)), "-f", "a.png", "-f", "long.pdf", "q")
        self.assertTrue(hung.wait(30))
        process.kill()
        process.communicate()
        for f in ("a.png", "long.pdf"):
            os.unlink(self.home.path / f)
        r = self.home.run("resume", "last")
        self.assertEqual(r.returncode, 0, r.stderr)
        for files in self.seen(p):
            self.assertEqual([k for k, _ in files], ["image/png", "application/pdf"])
            self.assertEqual(files[1][1], text_of(PDF + bytes(9 << 20)))
        size = (self.home.path / "home" / "tasks.db").stat().st_size
        self.assertLess(size, 15 << 20, "each file is stored once")

    def test_a_task_that_failed_is_begun_again_with_its_files(self):
        broken = [True]

        async def behave(provider, request, reply):
            if broken:
                return await reply.error(400, "no")
            request["files"] = files_of(request)
            await reply.decide("a red dot")

        p = Provider(behave)
        self.providers.append(p)
        r = self.home.run("--config", self.team(self.agent("claude", p, upload_files=[{"file_path": "b.dat"}])), "-f", "a.png", "q")
        self.assertEqual(r.returncode, 2, r.stderr)
        broken.clear()
        p.requests.clear()
        for f in ("a.png", "b.dat"):
            os.unlink(self.home.path / f)
        r = self.home.run("resume", "last")
        self.assertEqual(r.returncode, 0, r.stderr)
        for files in self.seen(p):
            self.assertEqual(files, [("image/png", text_of(PNG)), ("application/pdf", text_of(PDF))])

    def test_nodes_get_the_files(self):
        p = self.serve()
        (self.home.path / "long.png").write_bytes(PNG + bytes(4 << 20))
        nodes = [Node(self.home), Node(self.home)]
        try:
            agents = [self.agent("claude", p, "one"), self.agent("openai", p, "two", upload_files=[{"file_path": "b.dat"}])]
            args = [x for i, n in enumerate(nodes) for x in ("--node", f"n{i}={n.address}")]
            r = self.home.run("--config", self.team(*agents), *args, "-f", "long.png", "q", timeout=120)
            self.assertEqual(r.returncode, 0, r.stderr)
        finally:
            for n in nodes:
                n.stop()
        for q in p.requests:
            self.assertEqual(q["files"][0], ("image/png", text_of(PNG + bytes(4 << 20))))
            self.assertEqual(len(q["files"]), 1 if q["path"].endswith("/messages") else 2)

    def test_a_recorded_run_holds_its_files(self):
        p = self.serve()
        r = self.home.run("--config", self.team(self.agent("chatcompletion", p, upload_files=[{"file_path": "b.dat"}])), "-f", "a.png",
                          "--record", "run.cassette", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        os.unlink(self.home.path / "b.dat")
        os.unlink(self.home.path / "a.png")
        r = self.home.run("replay", "./run.cassette")
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
