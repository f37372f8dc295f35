# SPDX-License-Identifier: Apache-2.0
"""What the tests have in common in which a vendor's SDK judges what we read and send: tests/e2e/test_sdk_*.py. Not a test of its own."""

import copy
import tempfile

from support import *

NPM = pathlib.Path(os.environ.get("CONCLAVE_NPM_DIR", ROOT / "build" / "npm" / "node_modules"))
COUNTERS = 8  # of usage in tests/golden: the last four are left out where all are 0


def counts(usage):
    return None if usage is None else usage + [0] * (COUNTERS - len(usage))


def script(name, *arguments):
    r = subprocess.run(["node", str(ROOT / "tests" / "e2e" / name), str(NPM), *map(str, arguments)], capture_output=True, text=True, timeout=180)
    if r.returncode != 0:
        raise AssertionError(r.stderr)
    return r.stdout


def type_errors(imports, kind, bodies, **more):
    """What `tsc --strict` says of the bodies as object literals of the type, and of as many with `more` inside."""
    lines = [imports, f"type Body = {kind};"]
    for name, body in bodies.items():
        lines.append(f"export const {name}: Body = {json.dumps({**body, **more})};")
    with tempfile.TemporaryDirectory(dir=NPM.parent) as d:
        (pathlib.Path(d) / "requests.ts").write_text("\n".join(lines))
        r = subprocess.run(["node", str(NPM / "typescript" / "bin" / "tsc"), "--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext",
                            "--moduleResolution", "nodenext", "--target", "es2022", f"{d}/requests.ts"], capture_output=True, text=True, timeout=240)
        return [line for line in r.stdout.splitlines() if "error" in line]


def golden_requests(folder, extra_keys):
    return {f.name.split(".")[0]: {k: v for k, v in json.loads(f.read_text()).items() if k not in extra_keys} for f in sorted(folder.glob("*.request.json"))}


def judge(test, name, ours, readers, difference, deviations, used, mutable=lambda theirs: None):
    """Holds what we read of a golden stream against what each of the SDK's readers did, by the dialect's `difference`; every leaf of ours, changed, must be told. `mutable`:
    the members that a reader tells at all; None = all. Notes in `used` which of the listed deviations there were."""
    for how, theirs in readers.items():
        with test.subTest(f"{name}, {how}"):
            key = next((k for k in ((name, how), (name, "both")) if k in deviations), None)
            used.add(key)
            test.assertEqual(difference(ours, theirs), deviations[key][0] if key else set(), (ours, theirs))
            if not key and ours["whole"]:
                told = mutable(theirs)
                for wrong in mutations({k: v for k, v in ours.items() if told is None or k in told}):
                    test.assertTrue(difference(wrong, theirs), wrong)


def mutations(value):
    """The value with one leaf changed, once for every leaf: what a mapping that is wrong in one field would give."""
    if isinstance(value, dict):
        for k, v in value.items():
            for m in mutations(v):
                yield {**value, k: m}
    elif isinstance(value, list):
        for i, v in enumerate(value):
            for m in mutations(v):
                out = copy.copy(value)
                out[i] = m
                yield out
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value + 1
    elif isinstance(value, str):
        yield value + "x"


def sent(request, headers):
    """What of a recorded request must be alike whoever sends it."""
    body = {k: v for k, v in request.items() if k not in ("path", "headers", "at")}
    return {"path": request["path"], "body": body, **{h: request["headers"].get(h) for h in headers}}
