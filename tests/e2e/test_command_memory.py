# SPDX-License-Identifier: Apache-2.0
"""What commands that write without end cost the engine: their output is bounded in the launcher, so next to nothing."""

import os
import pathlib
import re
import sys
import unittest

from attack_support import NOBODY, Rig, tiers_of
from support import BUILD, need_binary

MOST_KIB = 16 << 10


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


class Memory(unittest.TestCase):
    def peak_of(self, tier, user, who, *commands, jobs=()):
        """The most memory that an engine had whose agent ran these, then started those jobs, asked the first, and ended them."""
        with Rig(tier, user, who, ("ann",)) as rig:
            ann = rig.agents["ann"]
            rig.own()
            rig.start({"agents": [{"id": "ann", "backend": rig.backend("ann")}],
                       "orchestrator": {"snapshot_storage": "s", "agent_temporary_workspace": "t"}}, "--quiet")
            ann.wait()
            for command in commands:
                text = ann.call("execute_command", command=command, timeout=2)
                self.assertIn("exit_code", text)
                self.assertNotIn("E_", text)
            told = [ann.call("execute_command_background", command=command) for command in jobs]
            names = [re.search(r'"job": *"(\w+)"', text)[1] for text in told]
            for name in names[:1]:
                self.assertNotIn("E_", ann.call("read_output", job=name)) # what is read stays in the run's messages, and costs there
            if names:
                self.assertIn("exit_code", ann.call("execute_command", command="sleep 1", timeout=9))
            for name in names:
                self.assertNotIn("E_", ann.call("kill", job=name))
            peak = peak_kib(rig.process.pid)
            ann.answer("done"), ann.wait(), ann.vote(), ann.wait(), ann.say("the end")
            self.assertEqual(rig.process.wait(60), 0, rig.said())
            return peak

    def test_yes_costs_the_engine_little(self):
        for user, who in ({"root": [], "nobody": NOBODY} if os.geteuid() == 0 else {"user": []}).items():
            for tier in (2, 1):
                if why := tiers_of(who, tier):
                    print(f"skipped: tier {tier} as {user}: {why}")
                    continue
                with self.subTest(user=user, tier=tier):
                    calm = self.peak_of(tier, user, who, "echo 1", "echo 2")
                    for what, loud in (("yes", self.peak_of(tier, user, who, "yes", "yes")),
                                       ("8 jobs of it", self.peak_of(tier, user, who, jobs=[f"yes {i}" for i in range(8)]))):
                        print(f"tier {tier} as {user}: {calm} KiB without, {loud} KiB with {what}: {loud - calm} KiB more")
                        self.assertLess(loud - calm, MOST_KIB)


if __name__ == "__main__":
    need_binary()
    if not (BUILD / "conclave-sandbox").exists():
        print("skipped: conclave-sandbox is not built")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v"])
