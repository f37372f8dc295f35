#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The team files of MassGen 0.1.0 whose agents have a folder to work in (`cwd`), as their users wrote them. They are looked for in
$CONCLAVE_COMPAT_DIR; without them the test is skipped. What is to come of each stands here by hand. Models are played on loopback; folders of a
checkout of MassGen and the browser's tool server are fixtures. Prints a table: file, calls, outcome, reason."""

import json
import os
import pathlib
import re
import sys
import unittest

from provider import Provider
from support import *
from test_compat_runs import FOLDER, TYPES

CMD = "mcp__command_line__execute_command"
MARK = "written-4711"

# Fail as is documented of them: `cwd` without the section that names the folders. (All of them ask for Claude Code, too.)
NO_SECTION = {"tools/filesystem/claude_code_flash2.5", "tools/filesystem/claude_code_flash2.5_gptoss", "tools/mcp/claude_code_discord_mcp_example",
              "tools/mcp/claude_code_simple_mcp", "tools/mcp/claude_code_twitter_mcp_example", "tools/mcp/gpt5mini_claude_code_discord_mcp_example"}
CLAUDE_CODE = {"debug/test_sdk_migration", "tools/code-execution/docker_claude_code", "tools/filesystem/cc_gpt5_gemini_filesystem",
               "tools/filesystem/claude_code_context_sharing", "tools/filesystem/claude_code_gpt5nano", "tools/filesystem/claude_code_single",
               "tools/filesystem/gpt5mini_cc_fs_context_path", "tools/filesystem/multiturn/grok4_gpt5_claude_code_filesystem_multiturn",
               "tools/filesystem/multiturn/two_claude_code_filesystem_multiturn", "tools/mcp/five_agents_travel_mcp_test",
               "tools/mcp/five_agents_weather_mcp_test", "tools/mcp/gemini_mcp_filesystem_test_with_claude_code",
               "tools/planning/five_agents_discord_mcp_planning_mode", "tools/planning/five_agents_filesystem_mcp_planning_mode",
               "tools/planning/five_agents_notion_mcp_planning_mode", "tools/planning/five_agents_twitter_mcp_planning_mode"}
DOCKER = {"debug/code_execution/docker_verification", "tools/code-execution/docker_multi_agent", "tools/code-execution/docker_simple",
          "tools/code-execution/docker_with_resource_limits"}
MEDIA = {"basic/multi/gpt4o_audio_generation", "basic/multi/gpt4o_image_generation", "basic/single/single_gpt4o_audio_generation",
         "basic/single/single_gpt4o_image_generation"}
# Answer, with files in the workspace of each agent: how many agents. Those that ask for sessions of several turns are told that there are none.
TURNS = {"tools/filesystem/multiturn/grok4_gpt5_gemini_filesystem_multiturn": 3, "tools/filesystem/multiturn/two_gemini_flash_filesystem_multiturn": 2}
RUN = {"basic/single/single_gpt4o_video_generation": 1, "debug/code_execution/command_filtering_blacklist": 1,
       "debug/code_execution/command_filtering_whitelist": 1, "debug/skip_coordination_test": 1, "tools/code-execution/basic_command_execution": 2,
       "tools/code-execution/code_execution_use_case_simple": 2, "tools/code-execution/multi_agent_playwright_automation": 2,
       "tools/filesystem/fs_permissions_test": 2, "tools/filesystem/gemini_gemini_workspace_cleanup": 2,
       "tools/filesystem/gemini_gpt5_filesystem_casestudy": 2, "tools/filesystem/gemini_gpt5nano_file_context_path": 2,
       "tools/filesystem/gemini_gpt5nano_protected_paths": 2, "tools/filesystem/grok4_gpt5_gemini_filesystem": 3,
       "tools/mcp/gemini_mcp_filesystem_test": 2, "tools/mcp/gemini_mcp_filesystem_test_sharing": 2,
       "tools/mcp/gemini_mcp_filesystem_test_single_agent": 1, **TURNS}
SITE = "massgen/configs/resources/v0.0.21-example"
# Folders of a checkout: file -> (the path it names, what whoever presents changes in its copy, what it cannot write and why not).
CHECKOUT = {"debug/skip_coordination_test": (SITE, "new.css", "$WORK/" + SITE + "/new.css", "E_READONLY"),
            "tools/code-execution/code_execution_use_case_simple": ("massgen", "", "$WORK/massgen/new.txt", "E_READONLY"),
            "tools/filesystem/fs_permissions_test": (SITE, "styles.css", "$WORK/" + SITE + "/styles.css", "E_READONLY"),
            "tools/filesystem/gemini_gemini_workspace_cleanup": ("massgen/configs/resources/v0.0.26-example", "new.css", "$WORK/massgen/x", "E_OUTSIDE"),
            "tools/filesystem/gemini_gpt5nano_file_context_path": (SITE + "/styles.css", "styles.css", "$WORK/" + SITE + "/index.html", "E_SIBLING"),
            "tools/filesystem/gemini_gpt5nano_protected_paths": (SITE, "styles.css", "../target1/index.html", "E_PROTECTED")}
# Commands that the lists of a file allow or refuse.
COMMANDS = {"debug/code_execution/command_filtering_blacklist": [("echo fine", True), ("python3 -c 1", False)],
            "debug/code_execution/command_filtering_whitelist": [("python3 --version", True), ("ls", False)],
            "tools/code-execution/basic_command_execution": [("python3 -c 'print(6 * 7)'", True)],
            "tools/code-execution/code_execution_use_case_simple": [("python3 --version", True), ("ls", False)]}
BROWSER = """import json, os, sys
given = dict(a[2:].split('=', 1) for a in sys.argv[1:])
for line in sys.stdin:
    m = json.loads(line)
    if 'id' not in m:
        continue
    r = {}
    if m['method'] == 'initialize':
        r = {'protocolVersion': m['params']['protocolVersion'], 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'browser', 'version': '1'}}
    if m['method'] == 'tools/list':
        r = {'tools': [{'name': 'browser_take_screenshot', 'inputSchema': {'type': 'object'}}]}
    if m['method'] == 'tools/call':
        os.makedirs(given['user-data-dir'], exist_ok=True)
        open(given['output-dir'] + '/screenshot.png', 'wb').write(bytes(range(256)))
        r = {'content': [{'type': 'text', 'text': 'taken'}]}
    print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)
"""


class Compat(unittest.TestCase):
    def fixtures(self, home, name, text):
        """Where a user of the file would stand: in a checkout of MassGen."""
        work = home.path / "work"
        for example in ("v0.0.21-example", "v0.0.26-example"):
            folder = work / "massgen/configs/resources" / example
            folder.mkdir(parents=True)
            (folder / "styles.css").write_text("body {}\n")
            (folder / "index.html").write_text("<p>hello</p>\n")
        if name == "tools/code-execution/multi_agent_playwright_automation":
            (home.path / "fixture").mkdir()
            (home.path / "fixture" / "browser.py").write_text(BROWSER)
            text = text.replace('"npx"', '"/usr/bin/python3"').replace('"@playwright/mcp@latest"', f'"{home.path}/fixture/browser.py"')
            text = re.sub(r"^( +)(cwd: .*)$", rf'\1\2\n\1sandbox: {{readable: ["{home.path}/fixture"]}}', text, flags=re.M)
        return work, text

    def run_file(self, name, calls=(), presenting=(), fixtures=True):
        """Runs the file as it is; each run of each agent makes these calls first. Returns what came of it, the requests, the files of answers
        and what is proposed."""
        def at_home(call):
            return call[0], {k: v.replace("$WORK", str(work)) for k, v in call[1].items()}

        async def behave(provider, request, reply):
            present = not {"vote", "new_answer"} & reply.tools()
            if MARK not in json.dumps(request):
                return await reply.play("", [*calls, *map(at_home, presenting if present else ()), ("mcp__filesystem__write_file", {"path": "made.txt", "content": MARK})])
            await reply.decide("42")

        with Home() as home:
            provider = Provider(behave)
            try:
                text = (FOLDER / (name + ".yaml")).read_text()
                work, text = self.fixtures(home, name, text) if fixtures else (home.path, text)
                team = home.write("team.yaml", text)
                to = [x for kind, path in TYPES.items() if re.search(rf"type: *[\"']?{kind}\b", text) for x in ("--base-url", f"{kind}={provider.url}{path}")]
                r = home.run("--config", team, *to, "--apply", "no", "What is 6 times 7?", cwd=work, timeout=90)
                ran = r.returncode == 0
                return r, provider.requests, home.run("show", "last", "--files").stdout if ran else "", home.run("diff", "last", "--name-only").stdout if ran else ""
            finally:
                provider.stop()

    def told(self, name, calls, outcome):
        print(f"{name:82} {calls:3} calls, {outcome}", flush=True)

    def test_the_table_is_of_all_files_with_a_folder(self):
        files = {str(p.relative_to(FOLDER))[:-5] for p in FOLDER.rglob("*.yaml") if re.search(r"^\s*cwd:", p.read_text(), re.M)}
        parts = [NO_SECTION, CLAUDE_CODE, DOCKER, MEDIA, set(RUN)]
        self.assertEqual([len(p) for p in parts], [6, 16, 4, 4, 18])
        self.assertEqual(sum(map(len, parts)), 48)
        self.assertEqual(set().union(*parts), files)

    def test_files_that_ask_for_what_is_not_there_say_so_before_the_first_call(self):
        for names, says in ((NO_SECTION, r"orchestrator"), (CLAUDE_CODE, r"claude_code.* not available yet"), (DOCKER, r"'docker' is not available yet"),
                            (MEDIA, r"enable_(audio|image)_generation: not available yet")):
            for name in sorted(names):
                with self.subTest(name):
                    r, requests, _, _ = self.run_file(name)
                    why = [x for x in r.stderr.splitlines() if re.search(says, x)]
                    self.told(name, len(requests), f"exit {r.returncode}: {why[0] if why else r.stderr}")
                    self.assertEqual((r.returncode, len(requests), r.stdout, len(why) > 0), (1, 0, "", True), r.stderr)

    def test_the_others_answer_with_files_in_their_workspaces(self):
        for name, agents in sorted(RUN.items()):
            with self.subTest(name):
                calls = [(CMD, {"command": c}) for c, _ in COMMANDS.get(name, ())]
                presenting, path, changed, denied, code = [], *CHECKOUT.get(name, ("", "", "", ""))
                if changed:
                    at = {"path": "../target1/" + changed}
                    presenting = [("mcp__filesystem__read_text_file", at), ("mcp__filesystem__write_file", {**at, "content": "p {}\n"})]
                if denied:
                    presenting += [("mcp__filesystem__write_file", {"path": denied, "content": "no"})]
                if "playwright" in name:
                    calls = [("mcp__playwright__browser_take_screenshot", {})]
                r, requests, files, proposed = self.run_file(name, calls, presenting)
                body = json.dumps(requests[-1]) if requests else ""
                expected = 2 * (1 if "skip_coordination" in name else 2 * agents + 1)
                self.told(name, len(requests), f"exit {r.returncode}: answered with files" + (", told: no sessions" if name in TURNS else ""))
                self.assertEqual((r.returncode, len(requests)), (0, expected), r.stderr)
                self.assertIn("the final answer", r.stdout)
                self.assertEqual(len(re.findall(r"^ *made\.txt  12", files, re.M)), 1 + (agents if "skip_coordination" not in name else 0), files)
                commands = COMMANDS.get(name, ())
                self.assertEqual((len(re.findall(r'exit_code\W+0\b', body)), "E_CMD" in body), (sum(a for _, a in commands), not all(a for _, a in commands)), body)
                if "playwright" in name:
                    self.assertIn("screenshot.png", files)
                if path:
                    self.assertEqual([x.split()[-1] for x in proposed.splitlines()[1:]], [changed or "made.txt"], proposed)
                    self.assertEqual(proposed.startswith("folder "), changed != "", proposed)
                    self.assertEqual([x for x in re.findall("E_[A-Z]+", body) if x not in ("E_CMD", "E_UNREAD")], [code], body)
                self.assertEqual("session_storage" in r.stderr and "each question is a task of its own" in r.stderr, name in TURNS, r.stderr)

    def test_files_that_name_a_folder_of_a_checkout_say_what_is_missing_elsewhere(self):
        for name, (path, _, _, _) in sorted(CHECKOUT.items()):
            with self.subTest(name):
                r, requests, _, _ = self.run_file(name, fixtures=False)
                self.told(name, len(requests), f"exit {r.returncode}, outside of a checkout")
                self.assertEqual((r.returncode, len(requests)), (1, 0), r.stderr)
                self.assertRegex(r.stderr, re.escape(path) + ".*is not there")


if __name__ == "__main__":
    if not FOLDER.is_dir():
        print("skipped: the MassGen 0.1.0 configurations are not here; set CONCLAVE_COMPAT_DIR to a folder that holds them")
        sys.exit(77)
    need_sandbox()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
