// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.git_checkout

// Repositories that the real git made, and what it says of our checkouts of them.

#include "transports/git_checkout.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/wire/sha256.hpp"
#include "support/scratch_folder.hpp"
#include "support/workspace_tree.hpp"
#include "transports/git_ignored.hpp"
#include "transports/workspace_disk.hpp"

#include <cstdio>
#include <map>
#include <sys/wait.h>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

/// Runs a script in a folder with a git that knows no settings of this machine. Returns what it printed; it has to succeed.
std::string sh(const std::string& folder, const std::string& script, int code = 0) {
  auto whole =
      "cd '" + folder
      + "' && export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=u GIT_AUTHOR_EMAIL=u@x "
        "GIT_COMMITTER_NAME=u GIT_COMMITTER_EMAIL=u@x; set -e; "
      + script;
  std::string out;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(("( " + whole + " ) 2>&1").c_str(), "r"), [](FILE* f) { return ::pclose(f); }};
  CAF_REQUIRE(pipe != nullptr);
  char buffer[4096];
  while (auto n = std::fread(buffer, 1, sizeof buffer, pipe.get()))
    out.append(buffer, n);
  auto status = ::pclose(pipe.release());
  CAF_CHECK_EQUAL(WIFEXITED(status) ? WEXITSTATUS(status) : -1, code);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
    CAF_MESSAGE(script << ": " << out);
  return out;
}

/// A project with two commits, and changes that are not committed.
struct project {
  scratch_folder folder;
  std::string path = fs::canonical(folder.path).string() + "/project", copy = fs::canonical(folder.path).string() + "/copy";

  explicit project(const std::string& options = "") {
    fs::create_directories(path);
    sh(path,
       "git init -q -b main " + options
           + " .; mkdir -p src/deep; echo 1 > a.txt; echo 'print(1)' > src/deep/b.py; chmod +x src/deep/b.py; ln -s a.txt inside; "
             "ln -s /etc/passwd outside; echo secret > .env; git add -Af .; git commit -qm first; echo 2 >> a.txt; "
             "git commit -qam second; git tag v1; git branch side HEAD~1; git branch -q dir/other; "
             "echo dirty >> a.txt; echo new > untracked; echo staged > staged; git add staged; rm src/deep/b.py");
  }

  /// What agents get of it.
  std::string make(std::string* why = nullptr) {
    fs::remove_all(copy);
    fs::copy(path, copy, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    for (auto* gone : {"/.git", "/.env", "/outside"})
      fs::remove_all(copy + gone);
    std::string ignored;
    auto from = git::find(path, why != nullptr ? *why : ignored);
    if (!from)
      return "none";
    return git::make_checkout(*from, copy, left_out_of_copies);
  }
};

/// Everything below a folder: kind and bytes, by path.
std::map<std::string, std::string> tree(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (auto& e : fs::recursive_directory_iterator(folder)) {
    auto name = e.path().string().substr(folder.size());
    out[name] = e.is_symlink()     ? "link " + fs::read_symlink(e.path()).string()
                : e.is_directory() ? "folder"
                                   : wire::sha256(got(e.path().string()));
  }
  return out;
}

std::string why_not(const std::string& folder) {
  std::string why;
  CAF_CHECK(!git::find(folder, why));
  return why;
}

bool has(const std::string& text, const std::string& part) {
  auto found = text.find(part) != std::string::npos;
  if (!found)
    CAF_MESSAGE("'" << part << "' is not in: " << text);
  return found;
}

} // namespace

CAF_TEST(git in a checkout knows the history and what is not committed) {
  project p;
  auto before = tree(p.path);
  CAF_REQUIRE_EQUAL(p.make(), "");
  CAF_CHECK(tree(p.path) == before);
  CAF_CHECK_EQUAL(sh(p.copy, "git status --short"), " M a.txt\n D src/deep/b.py\n?? staged\n?? untracked\n");
  CAF_CHECK_EQUAL(sh(p.copy, "git log --format=%s"), "second\nfirst\n");
  CAF_CHECK_EQUAL(sh(p.copy, "git branch --format='%(refname:short) %(subject)'; git tag"),
                  "dir/other second\nmain second\nside first\nv1\n");
  CAF_CHECK(has(sh(p.copy, "git diff"), "+dirty"));
  CAF_CHECK_EQUAL(sh(p.copy, "git rev-parse HEAD; git symbolic-ref HEAD"), sh(p.path, "git rev-parse HEAD; git symbolic-ref HEAD"));
  sh(p.copy,
     "git fsck --strict; git add -A; git commit -qm third; git checkout -q side; git checkout -q main; git gc -q; git fsck");
  CAF_CHECK_EQUAL(sh(p.copy, "git log --format=%s; git ls-files"),
                  "third\nsecond\nfirst\n.env\na.txt\ninside\noutside\nstaged\nuntracked\n");
  CAF_CHECK(tree(p.path) == before);
}

CAF_TEST(what is in no copy is not taken for deleted) {
  project p;
  CAF_REQUIRE_EQUAL(p.make(), "");
  CAF_CHECK_EQUAL(sh(p.copy, "git ls-files -v .env outside"), "S .env\nS outside\n");
  sh(p.copy, "git commit -qam all");
  CAF_CHECK_EQUAL(sh(p.copy, "git ls-tree --name-only HEAD .env outside"), ".env\noutside\n");
}

CAF_TEST(nothing of the configuration goes along) {
  project p;
  auto trap = p.path + "/../ran";
  put(p.path + "/../hook", "#!/bin/sh\ntouch " + trap + "\n");
  fs::permissions(p.path + "/../hook", fs::perms::all);
  auto hook = p.path + "/../hook";
  put(p.path + "/../more", "[alias]\n\tlog = !" + hook + "\n");
  sh(p.path, "git config core.fsmonitor '" + hook + "'; git config core.hooksPath " + p.path + "/..; git config include.path "
                 + p.path + "/../more" + "; git config filter.x.clean " + hook + "; git config filter.x.smudge " + hook
                 + "; git config diff.external " + hook + "; git config core.sshCommand " + hook + "; git config core.pager " + hook
                 + "; git config core.editor " + hook + "; git config alias.st '!" + hook
                 + "'; echo '* filter=x' > .gitattributes");
  for (auto* name : {"pre-commit", "post-checkout", "post-index-change", "reference-transaction"})
    fs::copy_file(hook, p.path + "/.git/hooks/" + name);
  fs::remove(trap);
  CAF_REQUIRE_EQUAL(p.make(), "");
  sh(p.copy, "git status; git diff; git log; git commit -qam all; git checkout -q side");
  CAF_CHECK(!there(trap));
  auto config = got(p.copy + "/.git/config");
  for (auto* word : {"fsmonitor", "hook", "filter", "include", "alias"})
    CAF_CHECK_EQUAL(config.find(word), std::string::npos);
  CAF_CHECK(!there(p.copy + "/.git/hooks"));
  // The traps hold: the user's own git runs them.
  sh(p.path, "git status");
  CAF_CHECK(there(trap));
}

CAF_TEST(other states of a repository) {
  project p;
  sh(p.path, "git checkout -q --detach HEAD~0");
  CAF_REQUIRE_EQUAL(p.make(), "");
  CAF_CHECK_EQUAL(sh(p.copy, "git rev-parse HEAD; git log --format=%s -1"),
                  sh(p.path, "git rev-parse HEAD; git log --format=%s -1"));
  sh(p.path, "git checkout -q -f main; git pack-refs --all; git gc -q");
  CAF_REQUIRE_EQUAL(p.make(), "");
  CAF_CHECK_EQUAL(sh(p.copy, "git log --format=%s --all | sort -u"), "first\nsecond\n");
  // A clone without its past.
  auto base = p.folder.path;
  sh(base, "git clone -q --depth 1 file://" + p.path + " shallow");
  std::string why;
  auto shallow = git::find(fs::canonical(base).string() + "/shallow", why);
  CAF_REQUIRE(shallow);
  fs::create_directories(base + "/s");
  CAF_REQUIRE_EQUAL(git::make_checkout(*shallow, base + "/s", left_out_of_copies), "");
  CAF_CHECK_EQUAL(sh(base + "/s", "git log --format=%s"), "second\n");
  // One without a commit.
  sh(base, "mkdir none empty; cd none; git init -q -b trunk");
  auto none = git::find(fs::canonical(base).string() + "/none", why);
  CAF_REQUIRE(none);
  CAF_CHECK_EQUAL(none->branch + none->commit, "refs/heads/trunk");
  CAF_REQUIRE_EQUAL(git::make_checkout(*none, base + "/empty", left_out_of_copies), "");
  CAF_CHECK_EQUAL(sh(base + "/empty", "echo 1 > x; git add x; git commit -qm one; git log --format=%s%d"), "one (HEAD -> trunk)\n");
}

CAF_TEST(a linked worktree is one if both sides say so) {
  project p;
  auto base = fs::canonical(p.folder.path).string();
  sh(p.path, "git worktree add -q ../linked side");
  std::string why;
  auto linked = git::find(base + "/linked", why);
  CAF_REQUIRE_EQUAL(why, "");
  CAF_REQUIRE(linked);
  CAF_CHECK_EQUAL(linked->branch, "refs/heads/side");
  CAF_CHECK_EQUAL(linked->objects(), p.path + "/.git/objects");
  fs::create_directories(p.copy);
  CAF_REQUIRE_EQUAL(git::make_checkout(*linked, p.copy, left_out_of_copies), "");
  CAF_CHECK_EQUAL(sh(p.copy, "git log --format=%s"), "first\n");
  // Folders that only claim it.
  for (auto& [name, text] : std::map<std::string, std::string>{{"thief", "gitdir: " + p.path + "/.git/worktrees/linked\n"},
                                                               {"whole", "gitdir: " + p.path + "/.git\n"},
                                                               {"nowhere", "gitdir: /nonexistent\n"},
                                                               {"noise", "hello\n"}}) {
    put(base + "/" + name + "/.git", text);
    CAF_CHECK(has(why_not(base + "/" + name), "its .git"));
  }
  // A forged one, all of whose files lie in the folder.
  put(base + "/forged/.git", "gitdir: " + base + "/forged/evil/worktrees/x\n");
  put(base + "/forged/evil/worktrees/x/commondir", p.path + "/.git\n");
  put(base + "/forged/evil/worktrees/x/gitdir", base + "/forged/.git\n");
  put(base + "/forged/evil/worktrees/x/HEAD", "ref: refs/heads/main\n");
  CAF_CHECK(has(why_not(base + "/forged"), "something else than a worktree"));
}

CAF_TEST(a repository that leads elsewhere is not borrowed from) {
  project p;
  auto base = fs::canonical(p.folder.path).string(), mine = base + "/mine";
  auto fresh = [&] {
    fs::remove_all(mine);
    sh(base, "git clone -q --no-hardlinks project mine");
  };
  fresh();
  fs::rename(mine + "/.git", base + "/away");
  fs::create_directory_symlink(base + "/away", mine + "/.git");
  CAF_CHECK(has(why_not(mine), "its .git is a link"));
  fresh();
  put(mine + "/.git/objects/info/alternates", p.path + "/.git/objects\n");
  CAF_CHECK(has(why_not(mine), "borrows objects itself"));
  fresh();
  fs::remove_all(mine + "/.git/objects");
  fs::create_directory_symlink(p.path + "/.git/objects", mine + "/.git/objects");
  CAF_CHECK(has(why_not(mine), "not in a folder of its own"));
  fresh();
  fs::remove_all(mine + "/.git/objects/pack");
  fs::create_directory_symlink(p.path + "/.git/objects/pack", mine + "/.git/objects/pack");
  CAF_CHECK(has(why_not(mine), "objects/pack"));
  fresh();
  fs::create_symlink(p.path + "/.git/HEAD", mine + "/.git/objects/pack/pack-1.idx");
  CAF_CHECK(has(why_not(mine), "pack-1.idx"));
  fresh();
  put(mine + "/.git/commondir", p.path + "/.git\n");
  CAF_CHECK(has(why_not(mine), "commondir"));
  for (auto* head :
       {"ref: refs/heads/../../../project/.git/HEAD\n", "ref: refs/heads/.invalid\n", "ref: HEAD\n", "nonsense\n", ""}) {
    fresh();
    put(mine + "/.git/HEAD", head);
    CAF_CHECK(has(why_not(mine), "its HEAD"));
  }
  fresh();
  put(mine + "/.git/HEAD", std::string(64, 'a') + "\n");
  CAF_CHECK(has(why_not(mine), "SHA-256"));
  // Not the top of a work tree: nothing to complain of.
  sh(base, "git clone -q --bare project bare; git init -q --bare bare2; mkdir plain");
  for (auto* name : {"/bare", "/plain", "/project/src", "/absent"})
    CAF_CHECK_EQUAL(why_not(base + name), "");
}

CAF_TEST(links and noise among refs are left out) {
  project p;
  put(p.path + "/.git/refs/heads/noise", "not a hash\n");
  put(p.path + "/.git/refs/heads/x.lock", sh(p.path, "git rev-parse HEAD"));
  fs::create_symlink("/etc/passwd", p.path + "/.git/refs/heads/link");
  fs::create_directory_symlink(p.path + "/.git/refs/heads", p.path + "/.git/refs/heads/loop");
  std::string why;
  auto r = git::find(p.path, why);
  CAF_REQUIRE(r);
  auto refs = git::refs_of(*r, why);
  CAF_CHECK_EQUAL(why, "");
  CAF_CHECK_EQUAL(refs.size(), 4u);
  CAF_CHECK_EQUAL(refs.count("refs/heads/dir/other"), 1u);
}

CAF_TEST(a commit that stands for too much is refused and leaves nothing) {
  project p;
  // Ten names in ten levels: 10^10 files of three objects each level.
  sh(p.path,
     "b=$(echo x | git hash-object -w --stdin); m='100644 blob'; for i in 1 2 3 4 5 6 7 8 9 10; do "
     "t=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '%s %s\\t%s\\n' \"$m\" $b $n; done | git mktree); b=$t; m='040000 tree'; done; "
     "c=$(git commit-tree -m bomb $t); git update-ref refs/heads/bomb $c; git symbolic-ref HEAD refs/heads/bomb");
  CAF_CHECK(has(p.make(), "more than 500000 files"));
  CAF_CHECK(!there(p.copy + "/.git"));
  // Objects that are not there.
  sh(p.path, "git symbolic-ref HEAD refs/heads/main");
  fs::remove_all(p.path + "/.git/objects");
  fs::create_directories(p.path + "/.git/objects/pack");
  CAF_CHECK(has(p.make(), "git: "));
  CAF_CHECK(!there(p.copy + "/.git"));
}

CAF_TEST(a branch takes changes and nothing else moves) {
  project p;
  std::string why;
  auto r = git::find(p.path, why);
  CAF_REQUIRE(r);
  put(p.path + "/.git/hooks/reference-transaction", "#!/bin/sh\nexit 1\n");
  fs::permissions(p.path + "/.git/hooks/reference-transaction", fs::perms::all);
  sh(p.path, "git config user.name Ann; git config user.email ann@x");
  auto before = tree(p.path);
  put(p.folder.path + "/bytes", "line\r\n");
  auto open = [&](const git::path_change&) { return ::open((p.folder.path + "/bytes").c_str(), O_RDONLY); };
  using kind = git::path_change::kind;
  std::vector<git::path_change> changes{{kind::file, "a.txt", "", 6},     {kind::executable, "new/deep/x", "", 6},
                                        {kind::removed, "src/deep/b.py"}, {kind::removed, "untracked"},
                                        {kind::removed, "inside"},        {kind::file, "inside/now-a-folder", "", 6}};
  auto made = git::commit_branch(*r, r->commit, "agents/one", "message\n", changes, open);
  CAF_REQUIRE_EQUAL(made.error, "");
  CAF_CHECK_EQUAL(made.author, "Ann <ann@x>");
  auto after = tree(p.path);
  for (auto& [path, what] : after)
    if (before.count(path) == 0)
      CAF_CHECK(path.starts_with("/.git/objects/") || path.find("refs/heads/agents") != std::string::npos);
    else
      CAF_CHECK_EQUAL(before[path], what);
  for (auto& [path, what] : before)
    CAF_CHECK_EQUAL(after.count(path), 1u);
  CAF_CHECK_EQUAL(sh(p.path, "git diff --name-status --no-renames main agents/one; git log --format='%an %s' -1 agents/one; "
                             "git cat-file blob agents/one:a.txt; git ls-tree agents/one:new/deep"),
                  "M\ta.txt\nD\tinside\nA\tinside/now-a-folder\nA\tnew/deep/x\nD\tsrc/deep/b.py\nAnn message\nline\r\n100755 blob "
                      + sh(p.path, "git rev-parse agents/one:a.txt | tr -d '\\n'") + "\tx\n");
  sh(p.path, "git fsck --strict");
  for (auto* name : {"agents/one", "main", "agents", "", "-x", "HEAD", "a..b", "a b", "x.lock", "@{u}"}) {
    auto now = tree(p.path);
    CAF_CHECK_NOT_EQUAL(git::commit_branch(*r, r->commit, name, "m", changes, open).error, "");
    auto then = tree(p.path);
    std::erase_if(then, [&](auto& x) { return x.first.starts_with("/.git/objects/"); });
    std::erase_if(now, [&](auto& x) { return x.first.starts_with("/.git/objects/"); });
    CAF_CHECK(now == then);
  }
  CAF_CHECK(has(git::commit_branch(*r, std::string(40, 'a'), "other", "m", changes, open).error, "cannot be read"));
}

CAF_TEST(what git ignores is what git itself ignores) {
  project p;
  auto base = p.folder.path;
  CAF_CHECK(git::ignored_paths::of(base) == nullptr);
  sh(base, "git init -q -b main lib; cd lib; echo l > l.log; git add .; git commit -qm lib");
  sh(p.path,
     "git reset -q --hard; git -c protocol.file.allow=always submodule -q add ../lib sm; mkdir -p out sub/out own; "
     "printf '*.log\\nout/\\n!keep.log\\n/own/*\\n' > .gitignore; echo 1 > out/kept; git add -f out/kept; git commit -qm ignore");
  auto all = git::ignored_paths::of(p.path);
  CAF_REQUIRE(all);
  struct row {
    const char* path;
    bool folder, ignored;
  };
  for (auto& r : {row{"a.log", false, true},
                  {"keep.log", false, false},
                  {"out", true, false},
                  {"out/kept", false, false},
                  {"out/new", false, true},
                  {"out/new", true, true},
                  {"sub/out", true, true},
                  {"sub/out/x", false, true},

                  {"sub", true, false},
                  {"own", true, false},
                  {"own/x", false, true},
                  {".gitignore", false, false},
                  {"sm", true, false},
                  {"sm/l.log", false, false},
                  {"sm/new.log", false, false},
                  {"not/there/b.log", false, true}}) {
    CAF_MESSAGE(r.path);
    CAF_CHECK_EQUAL(all->holds(r.path, r.folder), r.ignored);
  }
  auto below = git::ignored_paths::of(p.path + "/sub");
  CAF_REQUIRE(below);
  CAF_CHECK(below->holds("out", true) && below->holds("a.log", false) && !below->holds("keep.log", false));
  CAF_CHECK(git::ignored_paths::of(p.path + "/sub/out") == nullptr); // ignored itself: who grants it means what is in it
}

CAF_TEST(a branch has what git itself would commit) {
  project p;
  auto base = p.folder.path;
  sh(base, "git init -q -b main lib; cd lib; echo l > l.c; git add .; git commit -qm lib");
  sh(p.path,
     "git reset -q --hard; git -c protocol.file.allow=always submodule -q add ../lib sm; mkdir out; echo 1 > out/kept; "
     "printf '*.log\\nout/\\n' > .gitignore; printf '*.bin filter=lfs\\n*.txt -filter\\n' > .gitattributes; git add -f out; "
     "git add .; git commit -qm third; git branch taken/x");
  std::string why;
  auto r = git::find(p.path, why);
  CAF_REQUIRE(r);
  put(base + "/bytes", "line\r\n");
  auto open = [&](const git::path_change&) { return ::open((base + "/bytes").c_str(), O_RDONLY); };
  using kind = git::path_change::kind;
  std::vector<git::path_change> changes{{kind::file, "a.txt", "", 6},   {kind::file, "run.log", "", 6},
                                        {kind::file, "out/new", "", 6}, {kind::file, "out/kept", "", 6},
                                        {kind::removed, "sm/l.c"},      {kind::file, "sm/n", "", 6}};
  CAF_CHECK_EQUAL(git::check_branch(*r, r->commit, "one", changes), "");
  auto made = git::commit_branch(*r, r->commit, "one", "m", changes, open);
  CAF_REQUIRE_EQUAL(made.error, "");
  std::string left;
  for (auto& [path, reason] : made.left_out)
    left += path + ": " + reason + "\n";
  CAF_CHECK_EQUAL(left,
                  "run.log: git ignores it\nout/new: git ignores it\nsm/l.c: lies in a submodule, which has a repository of its "
                  "own\nsm/n: lies in a submodule, which has a repository of its own\n");
  CAF_CHECK_EQUAL(sh(p.path, "git diff --name-status main one; git rev-parse one:sm"),
                  "M\ta.txt\nM\tout/kept\n" + sh(base + "/lib", "git rev-parse HEAD"));
  // The whole of a submodule gone, or a file in its place.
  for (auto what : {kind::removed, kind::file})
    CAF_CHECK(has(git::check_branch(*r, r->commit, "two", {{what, "sm", "", 6}}), "nothing to commit: sm lies in a submodule"));
  auto filtered = changes;
  filtered.push_back({kind::file, "deep/x.bin", "", 6});
  CAF_CHECK(has(git::check_branch(*r, r->commit, "two", filtered), "deep/x.bin goes through the filter 'lfs'"));
  CAF_CHECK(has(git::commit_branch(*r, r->commit, "two", "m", filtered, open).error, "filter 'lfs'"));
  CAF_CHECK(has(git::check_branch(*r, r->commit, "taken", changes), "there is a branch 'taken/x'"));
  CAF_CHECK(has(git::check_branch(*r, r->commit, "taken/x/y", changes), "there is a branch 'taken/x'"));
  CAF_CHECK_EQUAL(sh(p.path, "git branch --list 'two*' 'taken*'"), "  taken/x\n");
}

CAF_TEST(what cannot be read whole is not taken for empty) {
  project p;
  auto base = fs::canonical(p.folder.path).string(), mine = base + "/mine", git = mine + "/.git/";
  auto fresh = [&] {
    fs::remove_all(mine);
    sh(base, "git clone -q --no-hardlinks project mine; cd mine; git pack-refs --all");
  };
  fresh();
  put(git + "objects/info/alternates", std::string(5'000, '#') + "\n" + p.path + "/.git/objects\n");
  CAF_CHECK(has(why_not(mine), "objects/info/alternates in its .git cannot be read"));
  for (auto* name : {"HEAD", "refs/heads/main"}) {
    fresh();
    put(git + name, std::string(5'000, ' ') + "\n");
    CAF_CHECK(has(why_not(mine), std::string{name} + " in its .git cannot be read"));
  }
  fresh();
  fs::remove(git + "packed-refs");
  fs::create_symlink(p.path + "/.git/packed-refs", git + "packed-refs");
  CAF_CHECK(has(why_not(mine), "packed-refs in its .git cannot be read"));
  fresh();
  fs::create_directories(git + "refs/heads/main"); // the branch is a packed one
  std::string fine;
  auto packed = git::find(mine, fine);
  CAF_REQUIRE(packed);
  CAF_CHECK_EQUAL(packed->commit + "\n", sh(p.path, "git rev-parse main"));
  auto refused = [&] {
    std::string why;
    auto r = git::find(mine, why);
    CAF_REQUIRE(r);
    fs::remove_all(p.copy);
    fs::create_directories(p.copy);
    why = git::make_checkout(*r, p.copy, left_out_of_copies);
    CAF_CHECK(!there(p.copy + "/.git"));
    return why;
  };
  fresh();
  fs::create_symlink("/etc/passwd", git + "shallow");
  CAF_CHECK(has(refused(), "shallow in its .git cannot be read"));
  fresh();
  put(git + "refs/heads/side", std::string(5'000, ' ') + "\n");
  CAF_CHECK(has(refused(), "side in its .git cannot be read"));
  fresh();
  sh(mine, "h=$(git rev-parse HEAD); for n in $(seq 20001); do echo $h refs/tags/t$n; done >> .git/packed-refs");
  CAF_CHECK(has(refused(), "more than 20000 branches and tags"));
}

CAF_TEST(a linked worktree may name its folders relative to its own) {
  project p;
  auto base = fs::canonical(p.folder.path).string();
  sh(p.path, "git worktree add -q ../linked side");
  put(base + "/linked/.git", "gitdir: ../project/.git/worktrees/linked\n");
  put(p.path + "/.git/worktrees/linked/gitdir", "../../../../linked/.git\n");
  std::string why;
  auto linked = git::find(base + "/linked", why);
  CAF_CHECK_EQUAL(why, "");
  CAF_REQUIRE(linked);
  CAF_CHECK_EQUAL(linked->branch, "refs/heads/side");
  put(p.path + "/.git/worktrees/linked/gitdir", "../../../../other/.git\n");
  CAF_CHECK(has(why_not(base + "/linked"), "a worktree of another folder"));
}
