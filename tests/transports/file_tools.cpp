// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.file_tools

#include "caf/test/unit_test.hpp"
#include "support/file_tools_fixture.hpp"

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

void each(const std::function<void(file_tools_fixture&)>& body) {
  each_way([&body](confined_dir::way how, const workspace_tree& t) {
    file_tools_fixture f(how, t);
    body(f);
  });
}

} // namespace

CAF_TEST(paths outside of the roots are denied) {
  each([](file_tools_fixture& f) {
    put(f.t / "work2/file", "other-canary");
    put(f.t / "work10/f", "prefix-canary");
    CAF_CHECK_EQUAL(f.read("../../../../../../../../etc/passwd"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.write("/etc/cron.d/x"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.read(f.W + "/../work2/file"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.read("../work10/f"), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.read(f.W + "10/f"), "E_OUTSIDE");
    for (auto* p :
         {"~/.ssh/id_rsa", "~root/x", "file:///etc/passwd", "/proc/self/root/etc/passwd", "/proc/self/environ", "/dev/fd/0", "/"})
      CAF_CHECK_EQUAL(f.read(p), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"ok.txt\u0000/etc/passwd"})"), "E_ARGS");
    CAF_CHECK_EQUAL(f.read(std::string(5000, 'x')), "E_ARGS");
    std::string many;
    for (int i = 0; i < 300; ++i)
      many += "d/";
    CAF_CHECK_EQUAL(f.read(many + "f"), "E_ARGS");
    for (auto* v : {"5", "null", "[\"a\"]", "{\"a\":1}", "\"\""})
      CAF_CHECK_EQUAL(f.call("read_text_file", std::string(R"({"path":)") + v + "}"), "E_ARGS");
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"a","file":"/etc/passwd"})"), "E_ARGS");
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"a","path":"/etc/passwd"})"), "E_ARGS");
    // A denial is the same whether or not something is there.
    CAF_CHECK_EQUAL(f.read(f.OUT + "/secret.txt"), "E_OUTSIDE");
    auto with = f.text;
    CAF_CHECK_EQUAL(f.read(f.OUT + "/secrex.txt"), "E_OUTSIDE");
    with.replace(with.find("secret"), 6, "secrex");
    CAF_CHECK_EQUAL(f.text, with);
  });
}

CAF_TEST(names that look like escapes are names) {
  each([](file_tools_fixture& f) {
    for (std::string n : {"%2e%2e%2f", "..%2f", "..\\..\\", "\xEF\xBC\x8E\xEF\xBC\x8E\xEF\xBC\x8Fx",
                          "a\xE2\x88\x95"
                          "b",
                          "\xE2\x80\xAEtxt"}) {
      CAF_CHECK_EQUAL(f.write(n, "literal"), "ok");
      CAF_CHECK_EQUAL(got(f.W + "/" + n), "literal");
      CAF_CHECK_EQUAL(f.read(n), "ok");
    }
    CAF_CHECK_EQUAL(f.on("list_directory", "."), "ok");
    CAF_CHECK(!f.says("\xE2\x80\xAE")); // escaped where it is shown
    put(f.W + "/new\nline", "x");
    CAF_CHECK_EQUAL(f.on("list_directory", "."), "ok");
    CAF_CHECK(f.says("new\\nline"));
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":"new*"})"), "ok");
    CAF_CHECK_EQUAL(f.text, f.W + "/new\\nline\n");
  });
}

CAF_TEST(what may be written depends on the root and the phase) {
  each([](file_tools_fixture& f) {
    CAF_CHECK_EQUAL(f.write(f.RO + "/new.txt"), "E_READONLY");
    CAF_CHECK_EQUAL(f.write(f.V + "/agent1/v.txt"), "E_READONLY");
    CAF_CHECK_EQUAL(f.read(f.V + "/agent1/v.txt"), "ok");
    f.tools->set_rules(f.rules(false));
    CAF_CHECK_EQUAL(f.write(f.WC + "/a"), "E_READONLY");
    f.tools->set_rules(f.rules(true));
    CAF_CHECK_EQUAL(f.write(f.WC + "/a"), "ok");
    CAF_CHECK_EQUAL(f.write(f.WC + "/src/deep/a"), "ok");
    f.tools->set_rules(f.rules(false));
    CAF_CHECK_EQUAL(f.write(f.WC + "/b"), "E_READONLY");
    CAF_CHECK(!there(f.WC + "/b"));
    CAF_CHECK(!there(f.RO + "/new.txt"));
    CAF_CHECK_EQUAL(f.on("list_allowed_directories", "x"), "E_ARGS");
    CAF_CHECK_EQUAL(f.call("list_allowed_directories", "{}"), "ok");
    CAF_CHECK(f.says(f.W + " (read and write)"));
  });
}

CAF_TEST(excluded and secret names hold outside of the workspace) {
  each([](file_tools_fixture& f) {
    for (auto* n : {".git/hooks/pre-commit", ".env", ".ENV", ".env.local", ".Git/config"}) {
      CAF_CHECK_EQUAL(f.write(f.WC + "/" + n), "E_EXCLUDED");
      CAF_CHECK(!there(f.WC + "/" + n));
    }
    for (auto* n : {".env", "deploy.pem", ".ssh/known"}) {
      put(f.RO + "/" + n, "secret-canary");
      CAF_CHECK_EQUAL(f.read(f.RO + "/" + n), "E_SECRET");
      CAF_CHECK_EQUAL(f.copy(f.RO + "/" + n, "stolen"), "E_SECRET");
      CAF_CHECK_EQUAL(f.compare(f.RO + "/" + n, f.RO + "/r.txt"), "E_SECRET");
      CAF_CHECK(!f.says("canary"));
    }
    fs::create_symlink("deploy.pem", f.RO + "/innocent.txt");
    CAF_CHECK_EQUAL(f.read(f.RO + "/innocent.txt"), "E_SECRET"); // judged where it was found
    CAF_CHECK_EQUAL(f.copy(f.RO, "all"), "ok");
    CAF_CHECK(!there(f.W + "/all/.env"));
    CAF_CHECK(!there(f.W + "/all/deploy.pem"));
    CAF_CHECK_EQUAL(got(f.W + "/all/r.txt"), "readable\n");
    CAF_CHECK_EQUAL(f.copy_batch(f.RO, "batch"), "ok");
    CAF_CHECK(!there(f.W + "/batch/.env"));
    CAF_CHECK(f.says("E_SECRET"));
    CAF_CHECK_EQUAL(f.write(".env", "mine"), "ok");
  });
}

CAF_TEST(siblings of a granted file stay hidden) {
  each([](file_tools_fixture& f) {
    auto sibling = f.t / "single/sibling.txt", folder = f.t / "single";
    CAF_CHECK_EQUAL(f.read(f.F), "ok");
    CAF_CHECK(f.says("granted"));
    CAF_CHECK_EQUAL(f.read(sibling), "E_SIBLING");
    CAF_CHECK_EQUAL(f.call("read_multiple_files", R"({"paths":[)" + json_text(f.F) + "," + json_text(sibling) + "]}"), "ok");
    CAF_CHECK(f.says("granted") && f.says("E_SIBLING") && !f.says("canary"));
    CAF_CHECK_EQUAL(f.call("read_multiple_files", R"({"paths":[)" + json_text(sibling) + "]}"), "E_SIBLING");
    CAF_CHECK_EQUAL(f.compare(f.F, sibling), "E_SIBLING");
    CAF_CHECK_EQUAL(f.copy(sibling, "x"), "E_SIBLING");
    CAF_CHECK_EQUAL(f.copy_batch(folder, "x"), "E_SIBLING");
    for (auto* tool : {"list_directory", "directory_tree", "get_file_info", "list_directory_with_sizes"})
      CAF_CHECK_EQUAL(f.on(tool, folder), "E_SIBLING");
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":)" + json_text(folder) + R"(,"pattern":"*"})"), "E_SIBLING");
    CAF_CHECK(!f.says("sibling.txt\""));
    fs::remove(f.F);
    fs::create_symlink("sibling.txt", f.F);
    CAF_CHECK_EQUAL(f.read(f.F), "E_SIBLING");
  });
}

CAF_TEST(to write what is there already is to have written it) {
  each([](file_tools_fixture& f) {
    put(f.W + "/a", "made before a crash");
    auto times = [&] {
      struct stat s {};
      ::stat((f.W + "/a").c_str(), &s);
      return std::pair{s.st_ino, s.st_mtim.tv_nsec};
    };
    auto before = times();
    CAF_CHECK_EQUAL(f.write("a", "made before a crasH"), "E_UNREAD");
    CAF_CHECK_EQUAL(f.write("a", "made before a crash"), "ok");
    CAF_CHECK(times() == before);
    put(f.W + "/copied", "made before a crash");
    put(f.W + "/other", "made before a crasH");
    CAF_CHECK_EQUAL(f.copy("a", "copied"), "ok");
    CAF_CHECK_EQUAL(f.copy("a", "other"), "error");
    CAF_CHECK_EQUAL(f.copy("a", "other", true), "E_UNREAD");
    CAF_CHECK_EQUAL(f.copy("a", "a"), "error");
    CAF_CHECK_EQUAL(f.erase("copied"), "ok");
    CAF_CHECK_EQUAL(f.erase("a"), "ok"); // its author knows what is in it
    put(f.WC + "/.env", "KEY=1");        // nobody learns so what he may not read
    CAF_CHECK_EQUAL(f.write(f.WC + "/.env", "KEY=2"), f.write(f.WC + "/.env", "KEY=1"));
    CAF_CHECK_EQUAL(f.write(f.WC + "/.env", "KEY=1").substr(0, 2), "E_");
  });
}

CAF_TEST(nothing unread is deleted or overwritten) {
  each([](file_tools_fixture& f) {
    put(f.W + "/a", "a");
    CAF_CHECK_EQUAL(f.erase("a"), "E_UNREAD");
    CAF_CHECK_EQUAL(f.write("a"), "E_UNREAD"); // and so no way round
    CAF_CHECK_EQUAL(f.erase("a"), "E_UNREAD");
    CAF_CHECK_EQUAL(got(f.W + "/a"), "a");
    CAF_CHECK_EQUAL(f.read("a"), "ok");
    put(f.W + "/a", "b"); // as a command does
    CAF_CHECK_EQUAL(f.erase("a"), "E_UNREAD");
    CAF_CHECK_EQUAL(f.write("a"), "E_UNREAD");
    CAF_CHECK_EQUAL(f.read("a"), "ok");
    CAF_CHECK_EQUAL(f.write("a", "c"), "ok");
    CAF_CHECK_EQUAL(f.write("a", "d"), "ok");
    CAF_CHECK_EQUAL(f.erase("a"), "ok");
    CAF_CHECK_EQUAL(f.erase("a"), "error");
    CAF_CHECK_EQUAL(f.write("made", "x"), "ok");
    CAF_CHECK_EQUAL(f.erase("made"), "ok");
    put(f.W + "/x", "x");
    put(f.W + "/y", "y");
    CAF_CHECK_EQUAL(f.compare("x", "y"), "ok"); // a read of both
    CAF_CHECK_EQUAL(f.erase("x"), "ok");
    put(f.W + "/src", "src");
    put(f.W + "/dst", "dst");
    CAF_CHECK_EQUAL(f.copy("src", "dst", true), "E_UNREAD");
    CAF_CHECK_EQUAL(f.copy("src", "dst"), "error");
    CAF_CHECK_EQUAL(f.copy("src", "fresh"), "ok");
    CAF_CHECK_EQUAL(f.erase("fresh"), "ok");
    CAF_CHECK_EQUAL(f.copy_batch(".", "sub", R"(,"include_patterns":["src"])"), "ok");
    CAF_CHECK_EQUAL(got(f.W + "/sub/src"), "src");
    put(f.W + "/d/u1", "1");
    put(f.W + "/d/u2", "2");
    CAF_CHECK_EQUAL(f.erase("d"), "error");
    CAF_CHECK_EQUAL(f.erase("d", true), "E_UNREAD");
    CAF_CHECK(f.says("u1") && f.says("2 unread"));
    CAF_CHECK_EQUAL(f.erase_batch("d"), "E_UNREAD");
    CAF_CHECK_EQUAL(f.call("read_multiple_files", R"({"paths":["d/u1","d/u2"]})"), "ok");
    CAF_CHECK_EQUAL(f.erase_batch("d", R"(,"include_patterns":["*1"])"), "ok");
    CAF_CHECK(!there(f.W + "/d/u1") && there(f.W + "/d/u2"));
    CAF_CHECK_EQUAL(f.move("d", "e"), "ok");
    CAF_CHECK_EQUAL(f.erase("e", true), "ok"); // what was read is known by its new name
    put(f.W + "/pic", std::string("\0\1binary", 8));
    CAF_CHECK_EQUAL(f.read("pic"), "error");
    CAF_CHECK(f.says("binary"));
    CAF_CHECK_EQUAL(f.erase("pic"), "ok"); // there is no more to know of it
  });
}

CAF_TEST(system names roots and protected paths stay) {
  each([](file_tools_fixture& f) {
    put(f.W + "/proj/.git/HEAD", "ref");
    CAF_CHECK_EQUAL(f.erase("proj", true), "E_EXCLUDED");
    CAF_CHECK_EQUAL(f.erase("proj/.git", true), "E_EXCLUDED");
    CAF_CHECK(there(f.W + "/proj/.git/HEAD"));
    CAF_CHECK_EQUAL(f.erase_batch("."), "ok");
    CAF_CHECK(f.says("E_EXCLUDED") && there(f.W + "/proj/.git/HEAD"));
    CAF_CHECK_EQUAL(f.erase(".", true), "E_ROOT");
    CAF_CHECK_EQUAL(f.erase(f.W, true), "E_ROOT");
    CAF_CHECK_EQUAL(f.erase(f.WC, true), "E_ROOT");
    CAF_CHECK_EQUAL(f.erase("/", true), "E_OUTSIDE");
    CAF_CHECK_EQUAL(f.erase("", true), "E_ARGS");
    CAF_CHECK_EQUAL(f.erase_batch(f.RO), "E_READONLY");
    CAF_CHECK_EQUAL(f.erase(f.RO + "/r.txt"), "E_READONLY");
    CAF_CHECK_EQUAL(f.move(f.RO + "/r.txt", "taken"), "E_READONLY");

    put(f.WC + "/keep/in/a", "kept");
    put(f.WC + "/locked.txt", "locked");
    put(f.WC + "/par/x", "x");
    for (auto* p : {"/locked.txt", "//./locked.txt", "/locked.txt/", "/keep/new", "/keep/in/a", "/par/../keep/in/a"}) {
      CAF_CHECK_EQUAL(f.read(f.WC + p), std::string(p) == "/keep/new" ? "error" : "ok");
      CAF_CHECK_EQUAL(f.write(f.WC + p), "E_PROTECTED");
      CAF_CHECK_EQUAL(f.edit(f.WC + p, "l", "m"), "E_PROTECTED");
      CAF_CHECK_EQUAL(f.erase(f.WC + p), "E_PROTECTED");
      CAF_CHECK_EQUAL(f.move(f.WC + p, "away"), "E_PROTECTED");
    }
    CAF_CHECK_EQUAL(f.write("mine", "m"), "ok");
    CAF_CHECK_EQUAL(f.move("mine", f.WC + "/locked.txt"), "E_PROTECTED");
    CAF_CHECK_EQUAL(f.copy("mine", f.WC + "/locked.txt", true), "E_PROTECTED");
    CAF_CHECK_EQUAL(f.move(f.WC + "/keep", f.WC + "/other"), "E_PROTECTED");
    CAF_CHECK_EQUAL(f.erase(f.WC + "/keep", true), "E_PROTECTED");
    CAF_CHECK_EQUAL(f.copy(f.V, f.WC + "/keep", true), "E_PROTECTED");
    CAF_CHECK_EQUAL(f.on("create_directory", f.WC + "/keep/more"), "E_PROTECTED");
    CAF_CHECK_EQUAL(got(f.WC + "/locked.txt"), "locked");
    CAF_CHECK_EQUAL(got(f.WC + "/keep/in/a"), "kept");
  });
}

CAF_TEST(a folder is copied onto no root and not into itself) {
  each([](file_tools_fixture& f) {
    put(f.W + "/a/b/c", "c");
    CAF_CHECK_EQUAL(f.copy(f.RO, f.W, true), "E_ROOT");
    CAF_CHECK_EQUAL(f.copy("a/b", "a", true), "E_ARGS");
    CAF_CHECK_EQUAL(f.copy("a", "a/b/d"), "E_ARGS");
    CAF_CHECK_EQUAL(f.copy("a", "a", true), "E_ARGS");
    CAF_CHECK_EQUAL(f.move("a", "a/b/d"), "E_ARGS");
    CAF_CHECK_EQUAL(f.copy("a", "z"), "ok");
    CAF_CHECK_EQUAL(f.copy("a", "z"), "error");
    CAF_CHECK_EQUAL(f.copy(f.V, "z", true), "ok"); // made here, and so replaced
    CAF_CHECK_EQUAL(got(f.W + "/z/agent1/v.txt"), "theirs\n");
    CAF_CHECK(!there(f.W + "/z/b"));
    CAF_CHECK_EQUAL(f.copy(f.V, "a", true), "E_UNREAD");
    CAF_CHECK_EQUAL(got(f.W + "/a/b/c"), "c");
    CAF_CHECK_EQUAL(f.copy_batch(".", "", R"(,"include_patterns":["../*"])"), "E_ARGS");
    CAF_CHECK_EQUAL(f.erase_batch(".", R"(,"include_patterns":["/etc/*"])"), "E_ARGS");
  });
}

CAF_TEST(an edit shows its difference and takes place or not ) {
  each([](file_tools_fixture& f) {
    put(f.W + "/e", "one\ntwo\ntwo\n");
    CAF_CHECK_EQUAL(f.edit("e", "two", "2"), "error");
    CAF_CHECK_EQUAL(f.edit("e", "three", "3"), "error");
    CAF_CHECK_EQUAL(got(f.W + "/e"), "one\ntwo\ntwo\n");
    CAF_CHECK_EQUAL(f.edit("e", "one\ntwo", "1\n2", true), "ok");
    CAF_CHECK(f.says("-one") && f.says("+1"));
    CAF_CHECK_EQUAL(got(f.W + "/e"), "one\ntwo\ntwo\n");
    CAF_CHECK_EQUAL(f.edit("e", "one\ntwo", "1\n2"), "ok");
    CAF_CHECK_EQUAL(got(f.W + "/e"), "1\n2\ntwo\n");
    put(f.W + "/crlf", "a\r\nb\r\n");
    CAF_CHECK_EQUAL(f.edit("crlf", "a\nb", "c\nd"), "ok");
    CAF_CHECK_EQUAL(got(f.W + "/crlf"), "c\r\nd\r\n");
    CAF_CHECK_EQUAL(f.edit(f.RO + "/r.txt", "readable", "x"), "E_READONLY");
    CAF_CHECK_EQUAL(f.edit(f.RO + "/r.txt", "readable", "x", true), "ok");
  });
}

CAF_TEST(files are delivered to the folders of the user alone) {
  each([](file_tools_fixture& f) {
    put(f.W + "/site/index.html", "hello\n");
    put(f.W + "/site/.env", "K=1");
    put(f.WC + "/index.html", "old\n");
    auto deliver = [&f](const std::string& to, const std::string& more) {
      return f.call("deliver_files", R"({"source_path":"site","destination_path":)" + json_text(to) + more + "}");
    };
    CAF_CHECK_EQUAL(deliver("elsewhere", ""), "E_ARGS");
    CAF_CHECK_EQUAL(deliver(f.RO, ""), "E_READONLY");
    CAF_CHECK_EQUAL(deliver(f.WC, ""), "ok");
    CAF_CHECK(f.says("E_UNREAD") && f.says("E_EXCLUDED"));
    CAF_CHECK_EQUAL(got(f.WC + "/index.html"), "old\n");
    CAF_CHECK_EQUAL(deliver(f.WC, R"(,"dry_run":true)"), "ok");
    CAF_CHECK(f.says("modified") && f.says("-old") && f.says("+hello"));
    CAF_CHECK_EQUAL(got(f.WC + "/index.html"), "old\n");
    CAF_CHECK_EQUAL(deliver(f.WC, ""), "ok"); // its difference was seen
    CAF_CHECK_EQUAL(got(f.WC + "/index.html"), "hello\n");
    CAF_CHECK(!there(f.WC + "/.env"));
  });
}

CAF_TEST(no folder that is written in place becomes a git repository and none that is one is touched) {
  each([](file_tools_fixture& f) {
    auto git = f.WC + "/around/deep/srv.git";
    fs::create_directories(f.WC + "/around/deep");
    CAF_REQUIRE_EQUAL(std::system(("git init -q --bare '" + git + "'").c_str()), 0);
    put(f.WC + "/half/HEAD", "x"); // the user's own
    for (auto& path : {f.WC + "/HEAD", f.WC + "/new/HEAD", f.WC + "/half/refs/x", git + "/hooks/post-receive", git + "/new"})
      CAF_CHECK_EQUAL(f.write(path), "E_EXCLUDED");
    CAF_CHECK(f.says("is a git repository by itself"));
    for (auto& path : {f.WC + "/half/objects", git + "/d"})
      CAF_CHECK_EQUAL(f.on("create_directory", path), "E_EXCLUDED");
    CAF_CHECK_EQUAL(f.read(git + "/config"), "ok");
    CAF_CHECK_EQUAL(f.edit(git + "/config", "bare = true", "bare = false"), "E_EXCLUDED");
    for (auto& path : {f.W + "/made/HEAD", f.W + "/made/config", f.WC + "/around/a"})
      CAF_CHECK_EQUAL(f.write(path), "ok");
    CAF_CHECK_EQUAL(f.copy(f.W + "/made", f.WC + "/made"), "E_EXCLUDED");
    CAF_CHECK_EQUAL(f.move(f.W + "/made", f.WC + "/made"), "E_EXCLUDED");
    CAF_CHECK_EQUAL(f.copy(f.W + "/made/config", f.WC + "/HEAD"), "E_EXCLUDED");
    CAF_CHECK_EQUAL(f.copy_batch(f.W + "/made", f.WC + "/made"), "ok");
    CAF_CHECK(f.says("E_EXCLUDED"));
    for (auto& path : {git, f.WC + "/around"}) {
      CAF_CHECK_EQUAL(f.erase(path, true), "E_EXCLUDED");
      CAF_CHECK_EQUAL(f.move(path, f.WC + "/moved"), "E_EXCLUDED");
    }
    f.erase_batch(f.WC + "/around");
    CAF_CHECK(there(git + "/HEAD") && there(git + "/config") && !there(f.WC + "/around/a"));
    CAF_CHECK(there(f.WC + "/made/config") && !there(f.WC + "/made/HEAD"));
  });
}
