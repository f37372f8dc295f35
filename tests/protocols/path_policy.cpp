// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Which paths an agent may read and change: the table of decisions, and what the denials say.

#define CAF_SUITE protocols.path_policy

#include "protocols/path_policy.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/path_text.hpp"
#include "tests/support/policy_rules.hpp"

#include <string>
#include <vector>

using namespace conclave;
using namespace conclave::path_policy;
using conclave::test::letter;
using conclave::test::policy_rules;

using may = path_policy::access; // the system has a function of that name

namespace {

/// What is said of a path for read, list, create, modify, remove: '.' allowed, O outside, R read-only, P protected, E excluded,
/// S secret, B sibling, T a root itself, A bad argument.
struct row {
  const char* path;
  const char* coordination;
  const char* final_phase = nullptr; ///< where it differs
};

constexpr row table[] = {
    // the own workspace
    {"/h/work/t1/ws1", "....T"},
    {"/h/work/t1/ws1/a.txt", "....."},
    {"/h/work/t1/ws1/a/b/c", "....."},
    {"/h/work/t1/ws1/.env", "....E"},
    {"/h/work/t1/ws1/.ENV", "....E"},
    {"/h/work/t1/ws1/.env.local", "....."},
    {"/h/work/t1/ws1/id_rsa", "....."},
    {"/h/work/t1/ws1/.git", "....E"},
    {"/h/work/t1/ws1/p/.git/hooks/x", "....E"},
    {"/h/work/t1/ws1/node_modules/x", "....E"},
    {"/h/work/t1/ws1/.venv/bin/python", "....E"},
    {"/h/work/t1/ws1/venvs", "....."},
    {"/h/work/t1/ws1/.github/x", "....."},
    {"/h/work/t1/ws1/%2e%2e%2fx", "....."},
    {"/h/work/t1/ws1/..\\..\\x", "....."},
    {"/h/work/t1/ws1/\uFF0E\uFF0E/x", "....."},
    {"/h/work/t1/ws1/a\u2215b", "....."},
    {"/h/work/t1/ws1/...", "....."},
    // beside it
    {"/h/work/t1/ws10", "OOOOO"},
    {"/h/work/t1/ws10/f", "OOOOO"},
    {"/h/work/t1/ws2/f", "OOOOO"},
    {"/h/work/t1", "OOOOO"},
    {"/h/work/t2/ws1/a", "OOOOO"},
    {"/h", "OOOOO"},
    {"/h/tasks.db", "OOOOO"},
    {"/", "OOOOO"},
    {"/etc/passwd", "OOOOO"},
    {"/proc/self/root/etc/passwd", "OOOOO"},
    {"/proc/self/environ", "OOOOO"},
    {"/dev/fd/0", "OOOOO"},
    // no canonical paths
    {"~/.ssh/id_rsa", "OOOOO"},
    {"~root/x", "OOOOO"},
    {"file:///etc/passwd", "OOOOO"},
    {"relative", "OOOOO"},
    {"/h/work/t1/ws1/../ws2/f", "OOOOO"},
    {"/h/work/t1/ws1//a", "OOOOO"},
    {"/h/work/t1/ws1/./a", "OOOOO"},
    {"/h/work/t1/ws1/a/", "OOOOO"},
    {"", "AAAAA"},
    // the others' answers
    {"/h/work/t1/views", "..RRT"},
    {"/h/work/t1/views/agent2/a", "..RRR"},
    {"/h/work/t1/views/agent2/node_modules/x", "..EEE"},
    {"/h/work/t1/views/agent2/.env", "SSEEE"},
    // a folder to read
    {"/data/ro", "..RRT"},
    {"/data/ro/new.txt", "..RRR"},
    {"/data/ro/.git/config", "..EEE"},
    {"/data/ro/.env", "SSEEE"},
    {"/data/ro/deploy.pem", "SSEEE"},
    {"/data/ro/deploy.pem.txt", "..RRR"},
    {"/data/ro/server.KEY", "SSEEE"},
    {"/data/ro/.ssh", "SSEEE"},
    {"/data/ro/.ssh/config", "SSEEE"},
    {"/data/ro/.SSH/config", "SSEEE"},
    {"/data/ro/.aws/x", "SSEEE"},
    {"/data/ro/.gnupg/x", "SSEEE"},
    {"/data/ro/.netrc", "SSEEE"},
    {"/data/ro/.npmrc", "SSEEE"},
    {"/data/ro/.pypirc", "SSEEE"},
    {"/data/ro/id_rsa.pub", "SSEEE"},
    {"/data/ro/.envrc", "SSEEE"},
    {"/data/ro/.env-prod", "SSEEE"},
    {"/data/ro/.ENV_local", "SSEEE"},
    {"/data/ro/.env.example", "SSEEE"},
    {"/data/ro/.environment", "..RRR"},
    {"/data/ro/id_ed25519", "SSEEE"},
    {"/data/ro/id_ecdsa_sk.pub", "SSEEE"},
    {"/data/ro/id_dsa", "SSEEE"},
    {"/data/ro/.git-credentials", "SSEEE"},
    {"/data/ro/.pgpass", "SSEEE"},
    {"/data/ro/.kube/config", "SSEEE"},
    {"/data/ro/a.p12", "SSEEE"},
    {"/data/ro/a.PFX", "SSEEE"},
    {"/data/ro/.env~", "SSEEE"},
    {"/data/ro/.#.env", "SSEEE"},
    {"/data/ro/#.env#", "SSEEE"},
    {"/data/ro/key.pem.bak", "SSEEE"},
    {"/data/ro/.server.key.swp", "SSEEE"},
    {"/data/ro/.netrc.old~", "SSEEE"},
    {"/data/ro/.git-credentials.orig/x", "SSEEE"},
    {"/data/ro/config.bak", "..RRR"},
    {"/data/ro/a~", "..RRR"},
    {"/data/ro/#", "..RRR"},
    {"/data/ro/~", "..RRR"},
    {"/data/ro/.bak", "..RRR"},
    {"/data/ro/prod.env", "..RRR"},
    {"/data/ro/kube", "..RRR"},
    {"/data/ro/id_token.c", "..RRR"},
    {"/data/ro/.gitattributes", "..RRR"},
    {"/data/ro/sub", "..RRR"},
    {"/data", "OOOOO"},
    {"/data/ron", "OOOOO"},
    // a folder that the presenter may write, below one that is called venv
    {"/x/venv/proj", "..RRT", "....T"},
    {"/x/venv/proj/src/a", "..RRR", "....."},
    {"/x/venv/proj/src", "..RRR", "....P"},
    {"/x/venv/proj/src/gen", "..PPP"},
    {"/x/venv/proj/src/gen/new/file", "..PPP"},
    {"/x/venv/proj/src/generated", "..RRR", "....."},
    {"/x/venv/proj/README", "..PPP"},
    {"/x/venv/proj/sub/README", "..PPP"},
    {"/x/venv/proj/readme", "..RRR", "....."},
    {"/x/venv/proj/app/[id].tsx", "..PPP"},
    {"/x/venv/proj/app/i.tsx", "..PPP"},
    {"/x/venv/proj/app/id.tsx", "..RRR", "....."},
    {"/x/venv/proj/app", "..RRR", "....."},
    {"/x/venv/proj/!keep.lock", "..PPP"},
    {"/x/venv/proj/sub/!keep.lock", "..PPP"}, // by *.lock
    {"/x/venv/proj/7up", "..PPP"},
    {"/x/venv/proj/sub/7up", "..PPP"},
    {"/x/venv/proj/up7", "..RRR", "....."},
    {"/x/venv/proj/[[:digit:]]up", "..PPP"},
    {"/x/venv/proj/sub/[[:digit:]]up", "..RRR", "....."},
    {"/x/venv/proj/a/b.lock", "..PPP"},
    {"/x/venv/proj/b.lock/c", "..PPP"},
    {"/x/venv/proj/keep.lock", "..RRR", "....."},
    {"/x/venv/proj/docs", "..PPP"},
    {"/x/venv/proj/docs/a", "..PPP"},
    {"/x/venv/proj/conf/x", "..PPP"},
    {"/x/venv/proj/conf", "..RRR", "....P"},
    {"/x/venv/proj/conf/y", "..RRR", "....."},
    {"/x/venv/proj/.git/hooks/pre-commit", "..EEE"},
    {"/x/venv/proj/.Git/config", "..EEE"},
    {"/x/venv/proj/.env", "SSEEE"},
    {"/x/venv/proj/.ENV", "SSEEE"},
    {"/x/venv/proj/.env.local", "SSEEE"},
    {"/x/venv/proj/.environment", "..RRR", "....."},
    {"/x/venv/proj/node_modules", "..EEE"},
    {"/x/venv/proj/a/__PYCACHE__/x", "..EEE"},
    {"/x/venv/proj/.venv/x", "..EEE"},
    {"/x/venv/proj/venv/x", "..EEE"},
    {"/x/venv/proj/.pytest_cache/x", "..EEE"},
    {"/x/venv/proj/.mypy_cache/x", "..EEE"},
    {"/x/venv/proj/.ruff_cache/x", "..EEE"},
    {"/x/venv/proj/.DS_Store", "..EEE"},
    {"/x/venv/proj/massgen_logs/x", "..EEE"},
    {"/x/venv/proj/.massgen/x", "..EEE"},
    {"/x/venv/proj/massgen_logs2", "..RRR", "....."},
    {"/x/venv", "OOOOO"},
    // a folder in it with grants of its own
    {"/x/venv/proj/vendor", "..RRT"},
    {"/x/venv/proj/vendor/a", "..RRR"},
    {"/x/venv/proj/vendor/README", "..PPP"},
    // one file
    {"/docs/spec.md", "..RRT"},
    {"/docs/other.md", "BBBBB"},
    {"/docs", "BBBBB"},
    {"/docs/sub/x", "BBBBB"},
    {"/docs/spec.md/x", "BBBBB"},
    {"/docs/spec.md2", "BBBBB"},
    {"/docs2/x", "OOOOO"},
    {"/srv/.env", "..RRT", "....T"}, // named by the user: nothing of it is below a root
    {"/srv/id_rsa", "BBBBB"},
    // a folder that is copied, and its copy
    {"/data/copied/a", "..RRR"},
    {"/h/work/t1/target", "....T"},
    {"/h/work/t1/target/a", "....."},
    {"/h/work/t1/target/.git/config", "..EEE"},
    {"/h/work/t1/target/.env", "SSEEE"},
    {"/h/work/t1/target/LICENSE", "..PPP"},
    // secrets that may be read
    {"/data/open/.env", "..EEE"},
    {"/data/open/a.pem", "..EEE"},
    // where names are compared without case and in any normal form
    {"/mac/proj/a", "..RRR", "....."},
    {"/mac/proj/ReadMe", "..PPP"},
    {"/mac/proj/README/x", "..PPP"},
    {"/mac/proj/caf\u00E9", "..PPP"},
    {"/mac/proj/cafe\u0301", "..PPP"},
    {"/mac/proj/CAFE\u0301", "..PPP"},
    {"/mac/proj/cafe", "..RRR", "....."},
    {"/x/venv/proj/na\u00EFve", "..PPP"},
    {"/x/venv/proj/nai\u0308ve", "..RRR", "....."}, // compared byte by byte here
};

constexpr may all_accesses[] = {may::read, may::list, may::create, may::modify, may::remove};

std::string verdicts(const rules& r, const char* path) {
  std::string out;
  for (auto a : all_accesses)
    out += letter(judge(r, path, a).code);
  return out;
}

/// As a tool would: the argument as it is given, for the phase of coordination.
std::string code(const std::string& argument, may what) {
  std::string path;
  auto v = absolute("/h/work/t1/ws1", argument, path);
  return std::string(to_string(v.ok() ? judge(policy_rules(false), path, what).code : v.code));
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace

CAF_TEST(the table of decisions) {
  auto coordination = policy_rules(false), final_phase = policy_rules(true);
  std::size_t rows = 0;
  for (auto& r : table) {
    rows += 10;
    CAF_CHECK_EQUAL(std::string(r.path) + " " + verdicts(coordination, r.path), std::string(r.path) + " " + r.coordination);
    CAF_CHECK_EQUAL(std::string(r.path) + " final " + verdicts(final_phase, r.path),
                    std::string(r.path) + " final " + (r.final_phase ? r.final_phase : r.coordination));
  }
  CAF_CHECK(rows >= 1000);
}

CAF_TEST(arguments become absolute by their text) {
  auto at = [](const std::string& argument) {
    std::string out;
    auto v = absolute("/w/s", argument, out);
    return v.ok() ? out : std::string(to_string(v.code));
  };
  CAF_CHECK_EQUAL(at("a"), "/w/s/a");
  CAF_CHECK_EQUAL(at("."), "/w/s");
  CAF_CHECK_EQUAL(at("./a//b/./c/"), "/w/s/a/b/c");
  CAF_CHECK_EQUAL(at("a/../b"), "/w/s/b");
  CAF_CHECK_EQUAL(at("../x"), "/w/x");
  CAF_CHECK_EQUAL(at("../../../../x"), "/x");
  CAF_CHECK_EQUAL(at("/"), "/");
  CAF_CHECK_EQUAL(at("/.."), "/");
  CAF_CHECK_EQUAL(at("//a"), "/a");
  CAF_CHECK_EQUAL(at("%2e%2e%2fx"), "/w/s/%2e%2e%2fx");
  CAF_CHECK_EQUAL(at("..\\..\\x"), "/w/s/..\\..\\x");
  CAF_CHECK_EQUAL(at("~"), "~");
  CAF_CHECK_EQUAL(at("./~"), "/w/s/~");
  CAF_CHECK_EQUAL(at("a~"), "/w/s/a~");
  CAF_CHECK_EQUAL(at("FILE:/etc"), "FILE:/etc");
  CAF_CHECK_EQUAL(at("a:b"), "/w/s/a:b");
  CAF_CHECK_EQUAL(at(""), "E_ARGS");
  CAF_CHECK_EQUAL(at(std::string("ok.txt\0/etc/passwd", 18)), "E_ARGS");
  CAF_CHECK_EQUAL(at(std::string(5000, 'a')), "E_ARGS");
  CAF_CHECK_EQUAL(at(std::string(4097, '/')), "E_ARGS");
  CAF_CHECK_EQUAL(at(std::string(4096, '/')), "/");
  CAF_CHECK_EQUAL(at(std::string(4096, 'a')), "E_ARGS"); // with the workspace in front
  auto deep = [](int n) {
    std::string out;
    for (int i = 0; i < n; ++i)
      out += "a/";
    return out;
  };
  CAF_CHECK_EQUAL(at("/" + deep(256)).size(), 512u);
  CAF_CHECK_EQUAL(at("/" + deep(257)), "E_ARGS");
  for (auto* bad : {"a\xC0\xAE", "\xC1\xBF", "a\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xE2\x82"})
    CAF_CHECK_EQUAL(at(bad), "E_ARGS");
}

CAF_TEST(the attacks by path) {
  CAF_CHECK_EQUAL(code("../../../etc/passwd", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("/etc/cron.d/x", may::create), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("/h/work/t1/ws1/../ws2/file", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("~/.ssh/id_rsa", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("~root/x", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("file:///etc/passwd", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("http://localhost/x", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("/proc/self/root/etc/passwd", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("../ws10/f", may::read), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code(".", may::remove), "E_ROOT");
  CAF_CHECK_EQUAL(code("/", may::remove), "E_OUTSIDE");
  CAF_CHECK_EQUAL(code("", may::remove), "E_ARGS");
  CAF_CHECK_EQUAL(code("/x/venv/proj//src/./gen/", may::modify), "E_PROTECTED");
  CAF_CHECK_EQUAL(code("/x/venv/proj/src/../README", may::modify), "E_PROTECTED");
  CAF_CHECK_EQUAL(code("%2e%2e%2fetc", may::read), "");
}

CAF_TEST(a tree is judged with what is below it) {
  auto r = policy_rules(true);
  auto at = [&r](const char* path, std::vector<std::string> below, may what = may::remove) {
    return std::string(to_string(judge_tree(r, path, what, below).code));
  };
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1/d", {"a", "b", "b/c"}), "");
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1/d", {"a", "sub", "sub/.git"}), "E_EXCLUDED");
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1/d", {"sub/.env"}), "E_EXCLUDED");
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1/d", {"__pycache__", "__pycache__/a.pyc", "node_modules/x"}), ""); // made again by tools
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1", {}), "E_ROOT");
  CAF_CHECK_EQUAL(at("/h/work/t1/ws1", {}, may::modify), "E_ROOT"); // replaced
  CAF_CHECK_EQUAL(at("/docs/spec.md", {}, may::read), "");
  CAF_CHECK_EQUAL(at("/x/venv/proj/d", {"a"}), "");
  CAF_CHECK_EQUAL(at("/x/venv/proj/d", {"a", "README"}), "E_PROTECTED");
  CAF_CHECK_EQUAL(at("/x/venv/proj/d", {"x.lock"}), "E_PROTECTED");
  CAF_CHECK_EQUAL(at("/x/venv/proj/d", {"a/node_modules"}), "E_EXCLUDED");
  CAF_CHECK_EQUAL(at("/x/venv/proj/src", {}), "E_PROTECTED"); // whether the entry is there or not
  CAF_CHECK_EQUAL(at("/x/venv/proj/src", {}, may::modify), "E_PROTECTED");
  CAF_CHECK_EQUAL(at("/x/venv/proj", {}), "E_ROOT");
  CAF_CHECK_EQUAL(at("/data/ro/sub", {}), "E_READONLY");
  rules nested{{{"/a", root_kind::context, true}, {"/a/b/c", root_kind::context, false}}, {"/a/k/kept"}};
  CAF_CHECK(judge_tree(nested, "/a/b", may::remove, {}).code == denial::root);
  CAF_CHECK(judge(nested, "/a/b", may::remove).code == denial::root);
  CAF_CHECK(judge_tree(nested, "/a/k", may::remove, {}).code == denial::outside);
  CAF_CHECK(judge(nested, "/a/k/kept/x", may::read).code == denial::outside);
  CAF_CHECK(judge(nested, "/a/k/keptx", may::read).ok());
}

CAF_TEST(protected entries are read in every spelling) {
  auto at = [](const std::string& entry, const std::string& path) {
    rules r{{{"/p", root_kind::context, true, false, {entry}}}, {}};
    return judge(r, path, may::modify).code == denial::protected_path;
  };
  CAF_CHECK(at("a/b", "/p/a/b"));
  CAF_CHECK(!at("a/b", "/p/x/a/b"));
  CAF_CHECK(at("/p/a/b", "/p/a/b/c"));
  CAF_CHECK(!at("/p/a/b", "/p/x/p/a/b"));
  CAF_CHECK(at("./a", "/p/a"));
  CAF_CHECK(!at("./a", "/p/x/a"));
  CAF_CHECK(at("x/../a/b", "/p/a/b"));
  CAF_CHECK(at("a/", "/p/a"));
  CAF_CHECK(at("a/", "/p/a/b"));
  CAF_CHECK(at("a*c", "/p/x/abc"));
  CAF_CHECK(!at("a*c", "/p/a/c"));
  CAF_CHECK(at("a/**/c", "/p/a/c"));
  CAF_CHECK(at("a/**/c", "/p/a/b/b/c"));
  CAF_CHECK(at("**/c", "/p/c"));
  CAF_CHECK(at("a/**", "/p/a/b"));
  CAF_CHECK(!at("a/**", "/p/a"));
  CAF_CHECK(at("#a", "/p/#a"));
  CAF_CHECK(at("[ab].txt", "/p/b.txt"));
  CAF_CHECK(at("\\*", "/p/*"));
  CAF_CHECK(!at("\\*", "/p/a"));
  CAF_CHECK(at(".", "/p/a"));
  CAF_CHECK(at("/", "/p/a"));
  CAF_CHECK(at("/p", "/p/a"));
  CAF_CHECK(!at("../a", "/p/a"));
  CAF_CHECK(!at("", "/p/a"));
  CAF_CHECK(at(std::string(300, 'a'), "/p/b")); // no pattern: all is, rather than nothing
  CAF_CHECK(at("[[:none:]]", "/p/b"));
  CAF_CHECK(at("[[:digit:]]*", "/p/x/1a"));
  CAF_CHECK_EQUAL(entry_below("/p", "/p/[a] "), "/[a] ");
  CAF_CHECK_EQUAL(entry_below("/p", "x/../!a"), "/!a");
  CAF_CHECK_EQUAL(entry_below("/p", "!a"), "!a");
  CAF_CHECK_EQUAL(entry_below("/p", "/p"), "/");
  CAF_CHECK_EQUAL(entry_below("/p", "../a"), "");
}

CAF_TEST(a protected entry holds for the path that it names) {
  auto at = [](const std::vector<std::string>& entries, const std::string& path) {
    rules r{{{"/p", root_kind::context, true, false, entries}}, {}};
    return judge(r, path, may::modify).code == denial::protected_path;
  };
  for (std::string name : {"[id].tsx", "pages/[id].tsx", "notes*.txt", "what?", "a\\b", "a\\*", "#x", "!y", "d/!y", " lead",
                           "trail ", "d/trail  ", "a[b", "[!a]", "[[:digit:]]", "x**y", "**", "{a,b}", "end\\"}) {
    CAF_CHECK(at({name}, "/p/" + name));
    CAF_CHECK(at({"/p/" + name}, "/p/" + name + "/below"));
    CAF_CHECK(at({"./" + name + "/"}, "/p/" + name));
    CAF_CHECK(at({"x//.././" + name}, "/p/" + name));
  }
  CAF_CHECK(at({"pages/[id].tsx"}, "/p/pages/i.tsx")); // and as a pattern
  CAF_CHECK(!at({"pages/[id].tsx"}, "/p/x/pages/[id].tsx"));
  CAF_CHECK(at({"[...slug]/*.ts"}, "/p/[...slug]/a.ts"));
  CAF_CHECK(!at({"[id].tsx"}, "/p/x/[id].tsx")); // a path alone, not a name anywhere
  CAF_CHECK(at({"*.lock", "!a.lock"}, "/p/!a.lock"));
  CAF_CHECK(!at({"*.lock", "!a.lock"}, "/p/a.lock"));
  CAF_CHECK(!at({"!y"}, "/p/y"));
  rules folds{{{"/p", root_kind::context, true, false, {"[Id].tsx"}}}, {}};
  folds.roots[0].folds_names = true;
  CAF_CHECK(judge(folds, "/p/[iD].TSX", may::modify).code == denial::protected_path);
}

CAF_TEST(a denial says what may be done instead and nothing of the disk) {
  auto r = policy_rules(false);
  auto text = [&r](const char* path, may what) { return judge(r, path, what).text; };
  CAF_CHECK(has(text("/etc/passwd", may::read), "/etc/passwd is outside"));
  CAF_CHECK(has(text("/etc/passwd", may::read), "/h/work/t1/ws1 (read and write), "));
  CAF_CHECK(has(text("/etc/passwd", may::read), "/data/ro (read)"));
  CAF_CHECK(has(text("/x/venv/proj/a", may::create), "may become writable in the final phase"));
  CAF_CHECK(has(text("/data/ro/a", may::create), "Write in your workspace /h/work/t1/ws1"));
  CAF_CHECK(!has(text("/data/ro/a", may::create), "final phase"));
  CAF_CHECK(has(text("/data/copied/d/a", may::modify), "/h/work/t1/target/d/a instead"));
  CAF_CHECK(has(text("/x/venv/proj/a.lock", may::modify), "*.lock"));
  CAF_CHECK(has(text("/docs/x", may::read), "/docs/spec.md"));
  CAF_CHECK(has(text("/data/ro/.env", may::read), "secrets"));
  CAF_CHECK(has(text("/h/work/t1/ws1", may::remove), "cannot be deleted"));
  CAF_CHECK(has(judge_tree(policy_rules(true), "/h/work/t1/ws1/d", may::remove, {"e/.git"}).text, "d/e/.git"));
  CAF_CHECK(judge(r, "/data/ro/a", may::read).text.empty());
  CAF_CHECK_EQUAL(judge(r, "/x/venv/proj/src/gen/a", may::modify).rule, "/src/gen");
  CAF_CHECK_EQUAL(judge(r, "/h/work/t1/ws1/a", may::read).root, 0u);
  auto name = "/etc/" + std::string(3000, 'x') + "SECRET";
  CAF_CHECK(judge(r, name, may::read).text.size() < 900);
  CAF_CHECK(!has(judge(r, name, may::read).text, "SECRET"));
}

CAF_TEST(names are shown escaped and short) {
  CAF_CHECK_EQUAL(shown("a b/ü"), "a b/ü");
  CAF_CHECK_EQUAL(shown("a\nb\tc\x1B[1m\x7F"), "a\\nb\\tc\\u{1b}[1m\\u{7f}");
  CAF_CHECK_EQUAL(shown("a\u202Eb\u200Bc\u2066\u0085"), "a\\u{202e}b\\u{200b}c\\u{2066}\\u{85}");
  CAF_CHECK_EQUAL(shown("a\xFF\xC0"), "a\\xff\\xc0");
  CAF_CHECK_EQUAL(shown("a\\nb"), "a\\\\nb"); // not as one with a line break
  CAF_CHECK_EQUAL(shown("a\u00A0b c\u3000"), "a\\u{a0}b c\\u{3000}");
  CAF_CHECK_EQUAL(shown(" a "), " a\\u{20}");
  CAF_CHECK_EQUAL(shown("tag\U000E0041"), "tag\\u{e0041}");
  CAF_CHECK_EQUAL(shown(std::string(201, 'a'), 4'096), std::string(201, 'a'));
  CAF_CHECK_EQUAL(shown(std::string(200, 'a')), std::string(200, 'a'));
  CAF_CHECK_EQUAL(shown(std::string(201, 'a')), std::string(197, 'a') + "...");
  std::string wide;
  for (int i = 0; i < 300; ++i)
    wide += "\u00FC";
  CAF_CHECK_EQUAL(shown(wide).size(), 197u * 2 + 3);
  CAF_CHECK(shown(std::string(500, '\x1B')).size() <= 200);
}

CAF_TEST(codes have names) {
  CAF_CHECK_EQUAL(to_string(denial::none), "");
  std::string all;
  for (int i = 1; i <= static_cast<int>(denial::timeout); ++i)
    (all += to_string(static_cast<denial>(i))) += ' ';
  CAF_CHECK_EQUAL(all,
                  "E_OUTSIDE E_READONLY E_PROTECTED E_EXCLUDED E_SECRET E_SIBLING E_ROOT E_SYMLINK E_UNREAD E_ARGS E_SIZE E_TOOL "
                  "E_PLANNING E_HOOK_FAILED E_CMD E_SANDBOX E_TIMEOUT ");
}
