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


def leaves(value, place=()):
    """Each leaf of a value with the names on the way to it; what is empty is one."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inside:
        yield place, value
    for k, v in inside:
        yield from leaves(v, (*place, k))


def replaced(value, place, leaf=None, remove=False):
    """The value with another leaf at the place, or without one."""
    out = copy.deepcopy(value)
    at = out
    for k in place[:-1]:
        at = at[k]
    if remove:
        del at[place[-1]]
    else:
        at[place[-1]] = leaf
    return out


def unlike(ours, theirs):
    """The places at which two requests say something else: in canonical JSON, that is whatever the order of members."""
    said = {json.dumps(p): json.dumps(v) for p, v in leaves(ours)}, {json.dumps(p): json.dumps(v) for p, v in leaves(theirs)}
    return {p for p in said[0] | said[1] if said[0].get(p) != said[1].get(p)}


def judge_sent(test, ours, theirs, strip=lambda request: request):
    """Holds a request of ours against the one that the SDK sent, once `strip` took what is listed out of both: any leaf of ours that
    is another one, or is missing, must be told. Returns how many leaves were judged."""
    test.assertEqual(unlike(strip(ours), strip(theirs)), set(), (ours, theirs))
    judged = 0
    for place, leaf in leaves(strip(ours)):
        other = {} if leaf is None else not leaf if isinstance(leaf, bool) else leaf + 1 if isinstance(leaf, (int, float)) else [leaf, "x"]
        for wrong in (replaced(ours, place, other), replaced(ours, place, remove=True)):
            test.assertTrue(unlike(strip(wrong), strip(theirs)), place)
        judged += 1
    return judged


def takes_wrong_types(imports, kind, bodies, free):
    """The places of the bodies at which `tsc --strict` takes a value of another type, by case: none, but for the members in `free`,
    whose types say nothing of what is in them. Returns the places and how many were judged."""
    wrong = {}
    for name, body in bodies.items():
        for place, leaf in leaves(body):
            if free & set(place):
                continue
            other = {"wrong": 1} if isinstance(leaf, (bool, int, float)) or leaf is None else 7 if isinstance(leaf, str) else "wrong"
            wrong[f"b{len(wrong)}"] = (name, place, replaced(body, place, other))
    told = {int(line.split("(")[1].split(",")[0]) for line in type_errors(imports, kind, {k: v[2] for k, v in wrong.items()})}
    return [(name, place) for i, (name, place, _) in enumerate(wrong.values()) if i + 3 not in told], len(wrong)


def sent(request, headers):
    """What of a recorded request must be alike whoever sends it."""
    body = {k: v for k, v in request.items() if k not in ("path", "headers", "at")}
    return {"path": request["path"], "body": body, **{h: request["headers"].get(h) for h in headers}}
