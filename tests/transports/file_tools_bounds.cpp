// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.file_tools_bounds

#include "caf/test/unit_test.hpp"
#include "support/file_tools_fixture.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <sched.h>
#include <sys/mount.h>
#include <thread>

using namespace conclave;
using namespace conclave::test;
namespace fs = std::filesystem;

namespace {

void each(const file_tool_bounds& bounds, const std::function<void(file_tools_fixture&)>& body) {
  each_way([&](confined_dir::way how, const workspace_tree& t) {
    file_tools_fixture f(how, t, bounds);
    body(f);
  });
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::size_t names_in(const std::string& path) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), {}));
}

/// Follows the offsets that the results name. Returns all that was read.
std::string read_on(file_tools_fixture& f, const std::string& path, int& calls) {
  std::string all;
  std::uint64_t offset = 0;
  for (calls = 1; calls < 50; ++calls) {
    auto code = f.call("read_text_file", R"({"path":)" + json_text(path) + R"(,"offset":)" + std::to_string(offset) + "}");
    if (code != "ok")
      return code;
    auto hint = f.text.rfind("\n[cut at byte ");
    if (hint == std::string::npos)
      return all + f.text;
    all += f.text.substr(0, hint);
    offset = std::stoull(f.text.substr(hint + 13));
    if (all.size() != offset)
      return "the offset is " + std::to_string(offset) + " after " + std::to_string(all.size()) + " bytes";
  }
  return "too many calls";
}

} // namespace

CAF_TEST(a long file is read in parts that end with a line) {
  each({}, [](file_tools_fixture& f) {
    std::string lines, one_line, marks;
    for (int i = 0; lines.size() < (std::size_t{5} << 19); ++i)
      lines += "line " + std::to_string(i) + "\n";
    one_line.assign((std::size_t{3} << 20) - 1, 'x');
    while (marks.size() < (std::size_t{3} << 19))
      marks += "\xE2\x82\xAC"; // three bytes, cut nowhere
    put(f.W + "/lines", lines);
    put(f.W + "/one", one_line);
    put(f.W + "/marks", marks);
    int calls = 0;
    CAF_CHECK(read_on(f, "lines", calls) == lines);
    CAF_CHECK_EQUAL(calls, 3);
    CAF_CHECK(read_on(f, "one", calls) == one_line);
    CAF_CHECK(read_on(f, "marks", calls) == marks);
    CAF_CHECK_EQUAL(f.read("lines"), "ok");
    CAF_CHECK(f.text.size() <= (std::size_t{1} << 20) + 200);
    CAF_CHECK_EQUAL(f.text[f.text.rfind("\n[cut at byte ") - 1], '\n');
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"lines","head":2})"), "ok");
    CAF_CHECK_EQUAL(f.text, "line 0\nline 1\n");
    auto fits = static_cast<std::size_t>(std::count(lines.begin(), lines.begin() + (1 << 20), '\n')); // lines in one part
    for (auto asked : {fits, fits + 1, fits + 10'000}) {
      CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"lines","head":)" + std::to_string(asked) + "}"), "ok");
      auto cut = f.text.rfind("\n[cut at byte ");
      CAF_CHECK_EQUAL(cut == std::string::npos, asked == fits); // what was asked for is there, or it is told
      CAF_CHECK(lines.starts_with(f.text.substr(0, cut)) && f.text.substr(0, cut).ends_with('\n'));
    }
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"lines","tail":2})"), "ok");
    CAF_CHECK_EQUAL(lines_of(f.text), 2u);
    CAF_CHECK(lines.ends_with(f.text));
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"lines","tail":1000000})"), "ok");
    CAF_CHECK(f.text.starts_with("line ") && f.says("a call gives no more"));
    CAF_CHECK_EQUAL(f.call("read_text_file", R"({"path":"lines","offset":99999999})"), "E_ARGS");
    CAF_CHECK_EQUAL(f.call("read_multiple_files", R"({"paths":["lines","one","marks"]})"), "ok");
    CAF_CHECK(f.text.size() < (std::size_t{1} << 20) + 1000);
    CAF_CHECK(f.says("E_SIZE"));
    put(f.W + "/empty", "");
    CAF_CHECK_EQUAL(f.read("empty"), "ok");
    CAF_CHECK_EQUAL(f.text, "");
    put(f.W + "/invalid", "ab\xC0\xAF");
    CAF_CHECK_EQUAL(f.read("invalid"), "error");
    for (auto* tail : {"1", "2", "3"}) {
      put(f.W + "/short", "a\nb\nc");
      CAF_CHECK_EQUAL(f.call("read_text_file", std::string(R"({"path":"short","tail":)") + tail + "}"), "ok");
      CAF_CHECK_EQUAL(lines_of(f.text), static_cast<std::size_t>(tail[0] - '1'));
    }
  });
}

CAF_TEST(lists trees and searches are cut with a word) {
  file_tool_bounds b;
  b.list_entries = 50;
  b.tree_nodes = 60;
  b.tree_depth = 3;
  b.found = 20;
  each(b, [](file_tools_fixture& f) {
    for (int i = 0; i < 70; ++i)
      put(f.W + "/many/f" + std::to_string(i), std::string(static_cast<std::size_t>(i), 'x'));
    CAF_CHECK_EQUAL(f.on("list_directory", "many"), "ok");
    CAF_CHECK_EQUAL(lines_of(f.text), 51u);
    CAF_CHECK(f.says("[cut"));
    CAF_CHECK_EQUAL(f.on("directory_tree", "many"), "ok");
    CAF_CHECK(f.says("cut at 60"));
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":"f*"})"), "ok");
    CAF_CHECK(f.says("[cut"));
    CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":"*f1*","excludePatterns":["*f1"]})"), "ok");
    CAF_CHECK_EQUAL(lines_of(f.text), 10u);
    put(f.W + "/deep/a/b/c/d", "d");
    CAF_CHECK_EQUAL(f.on("directory_tree", "deep"), "ok");
    CAF_CHECK(f.says("\"c\"") && !f.says("\"d\"") && f.says("depth 3"));
    CAF_CHECK_EQUAL(f.call("list_directory_with_sizes", R"({"path":"many","sortBy":"size"})"), "ok");
    CAF_CHECK(f.says("Total: ") && f.says("Combined size: "));
    CAF_CHECK_EQUAL(f.call("directory_tree", R"({"path":".","excludePatterns":["many"]})"), "ok");
    CAF_CHECK(!f.says("f1") && f.says("deep"));
  });
}

CAF_TEST(batches and copies have an end) {
  file_tool_bounds b;
  b.batch_files = 30;
  b.copy_bytes = 1 << 20;
  each(b, [](file_tools_fixture& f) {
    for (int i = 0; i < 40; ++i)
      CAF_CHECK_EQUAL(f.write("many/f" + std::to_string(i), "x"), "ok");
    CAF_CHECK_EQUAL(f.copy("many", "c"), "E_SIZE");
    CAF_CHECK(!there(f.W + "/c"));
    CAF_CHECK_EQUAL(f.copy_batch("many", "b"), "ok");
    CAF_CHECK(f.says("cut at 30"));
    CAF_CHECK_EQUAL(names_in(f.W + "/b"), 30u);
    CAF_CHECK_EQUAL(f.erase_batch("many"), "ok");
    CAF_CHECK(f.says("cut at 30"));
    CAF_CHECK_EQUAL(names_in(f.W + "/many"), 10u);
    put(f.W + "/sparse", "");
    fs::resize_file(f.W + "/sparse", std::uintmax_t{1} << 40);
    CAF_CHECK_EQUAL(f.copy("sparse", "c"), "E_SIZE");
    CAF_CHECK_EQUAL(f.copy_batch(".", "b2", R"(,"include_patterns":["sparse"])"), "E_SIZE");
    CAF_CHECK_EQUAL(f.edit("sparse", "a", "b"), "E_SIZE");
    CAF_CHECK_EQUAL(f.compare("sparse", "sparse"), "E_SIZE");
    CAF_CHECK_EQUAL(f.read("sparse"), "error"); // binary, and no more of it is read
    CAF_CHECK_EQUAL(names_in(f.W), 3u);         // many, b, sparse: nothing half done
  });
}

CAF_TEST(a pattern made to be slow ends) {
  workspace_tree t;
  file_tools_fixture f(confined_dir::way::best, t);
  for (int i = 0; i < 10'000; ++i)
    ::close(::open((f.W + "/" + std::string(100, 'a') + std::to_string(i)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  std::string pattern;
  for (int i = 0; i < 60; ++i)
    pattern += "*a";
  CAF_CHECK_EQUAL(f.call("search_files", R"({"path":".","pattern":")" + pattern + R"(*b"})"), "ok");
  CAF_CHECK_EQUAL(f.text, "No matches found");
}

CAF_TEST(a diff is cut and counted whole) {
  each({}, [](file_tools_fixture& f) {
    std::string a, b;
    for (int i = 0; i < 900; ++i) {
      a += "a" + std::to_string(i) + "\n";
      b += "b" + std::to_string(i) + "\n";
    }
    put(f.W + "/a", a);
    put(f.W + "/b", b);
    CAF_CHECK_EQUAL(f.compare("a", "b"), "ok");
    CAF_CHECK(f.says("\"added\":900") && f.says("\"removed\":900"));
    CAF_CHECK(f.text.find("b899") == std::string::npos);
    CAF_CHECK_EQUAL(f.compare("a", "a"), "ok");
    CAF_CHECK(f.says("\"identical\":true"));
  });
}

CAF_TEST(a cancelled call does nothing more) {
  each({}, [](file_tools_fixture& f) {
    CAF_CHECK_EQUAL(f.write("d/a", "a"), "ok");
    f.end.now = true;
    CAF_CHECK_EQUAL(f.read("d/a"), "error");
    CAF_CHECK_EQUAL(f.write("new"), "error");
    CAF_CHECK_EQUAL(f.erase("d", true), "error");
    CAF_CHECK_EQUAL(f.copy("d", "c"), "error");
    CAF_CHECK_EQUAL(f.copy_batch("d", "c"), "error");
    CAF_CHECK(f.says("cancelled"));
    f.end.now = false;
    CAF_CHECK_EQUAL(got(f.W + "/d/a"), "a");
    CAF_CHECK_EQUAL(names_in(f.W), 1u);
  });
}

CAF_TEST(a call whose time is over says so and leaves nothing half done) {
  each({}, [](file_tools_fixture& f) {
    for (int i = 0; i < 3; ++i)
      put(f.W + "/d/" + std::to_string(i), "x");
    CAF_CHECK_EQUAL(f.read("d/0"), "ok");
    f.end.late = f.end.now = true;
    for (auto& code : {f.read("d/0"), f.write("new"), f.erase("d", true), f.copy("d", "c"), f.copy_batch("d", "c"),
                       f.erase_batch("d"), f.compare("d/0", "d/1"), f.on("directory_tree", "."), f.on("list_directory", "d")}) {
      CAF_CHECK_EQUAL(code, "E_TIMEOUT");
      CAF_CHECK(f.says("ended after 30 s") && f.says("Ask for less"));
      CAF_CHECK(!f.says("Permission denied"));
    }
    f.end.late = f.end.now = false;
    CAF_CHECK_EQUAL(names_in(f.W), 1u);
    CAF_CHECK_EQUAL(names_in(f.W + "/d"), 3u);
  });
}

/// Makes a call that is ended from beside once `begun` holds; again, with another number, where a busy machine let it be done
/// first.
std::string ended_late(file_tools_fixture& f, const std::function<bool(int)>& begun, const std::function<std::string(int)>& call) {
  std::string code;
  for (int n = 0; n < 20; ++n) {
    std::atomic<bool> over{false};
    std::thread beside([&] {
      while (!over && !begun(n))
        std::this_thread::yield();
      f.end.late = true;
      f.end.now = true;
    });
    code = call(n);
    over = true;
    beside.join();
    f.end.late = f.end.now = false;
    if (f.says("E_TIMEOUT"))
      break;
  }
  return code;
}

CAF_TEST(a batch whose time is over says what it did) {
  each({}, [](file_tools_fixture& f) {
    constexpr std::size_t all = 200;
    for (std::size_t i = 0; i < all; ++i)
      put(f.W + "/d/" + std::to_string(i), "x");
    std::string to;
    auto code = ended_late(
        f, [&f](int n) { return there(f.W + "/c" + std::to_string(n) + "/0"); },
        [&](int n) { return f.copy_batch("d", to = "c" + std::to_string(n)); });
    auto done = names_in(f.W + "/" + to);
    CAF_CHECK_EQUAL(code, "ok");
    CAF_CHECK(done > 0 && done < all);
    CAF_CHECK(f.says("\"copied\":" + std::to_string(done)) && f.says("E_TIMEOUT: ended after 30 s"));
    for (auto& e : fs::directory_iterator(f.W + "/" + to))
      CAF_CHECK_EQUAL(got(e.path()), "x");
    CAF_CHECK_EQUAL(f.copy_batch("d", to), "ok"); // goes on where it stood
    CAF_CHECK_EQUAL(names_in(f.W + "/" + to), all);
    CAF_CHECK(!f.says("E_TIMEOUT"));
  });
}

CAF_TEST(a directory that is copied too slowly leaves nothing) {
  each({}, [](file_tools_fixture& f) {
    for (int i = 0; i < 200; ++i)
      put(f.W + "/d/" + std::to_string(i), "x");
    std::atomic<std::size_t> before{0};
    ended_late(
        f, [&](int) { return before != 0 && names_in(f.W) > before; }, // a copy has a name of its own until it is whole
        [&](int n) {
          before = names_in(f.W);
          return f.copy("d", "c" + std::to_string(n));
        });
    CAF_CHECK(f.says("E_TIMEOUT"));
    CAF_CHECK_EQUAL(names_in(f.W), before.load());
    CAF_CHECK_EQUAL(names_in(f.W + "/d"), 200u);
  });
}

CAF_TEST(directories are compared up to a bound of bytes) {
  file_tool_bounds b;
  b.compare_bytes = 3 << 20;
  each(b, [](file_tools_fixture& f) {
    auto text = std::string(std::size_t{1} << 20, 'x');
    for (auto* side : {"a", "b"})
      for (int i = 0; i < 5; ++i)
        put(f.W + "/" + side + "/" + std::to_string(i), text);
    put(f.W + "/a/other", text);
    put(f.W + "/b/other", text + "y"); // no byte of it need be read
    fs::create_hard_link(f.W + "/a/0", f.W + "/a/same");
    fs::create_hard_link(f.W + "/a/0", f.W + "/b/same");
    auto compare = [&f](const std::string& more = {}) {
      return f.call("compare_directories", R"({"dir1":"a","dir2":"b")" + more + "}");
    };
    CAF_CHECK_EQUAL(compare(), "ok");
    CAF_CHECK(f.says(R"("identical":["0","1","2","same"])") && f.says(R"("different":["other"])"));
    CAF_CHECK(f.says("2 files were not compared") && f.says(R"("path":"3")") && f.says(R"("path":"4")"));
    CAF_CHECK_EQUAL(compare(R"(,"show_content_diff":true)"), "ok");
    CAF_CHECK(f.says("not all diffs are shown") && f.says("2 files were not compared"));
  });
}

CAF_TEST(part of the disk is kept free) {
  each({}, [](file_tools_fixture& f) {
    file_tools::settings s;
    s.rules = f.rules(true);
    s.bounds.keep_free = std::uint64_t{1} << 62;
    file_tools full(std::move(s));
    auto r = full.run(workspace_tools::write_file{"x", "x"}, f.end);
    CAF_CHECK(r.failed && r.code == path_policy::denial::size);
    CAF_CHECK(!there(f.W + "/x"));
    r = full.run(workspace_tools::execute_command{"true"}, f.end);
    CAF_CHECK(r.code == path_policy::denial::tool);
  });
}

CAF_TEST(a full disk leaves what was there) {
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    std::cout << "skipped: mounts (no privilege)" << std::endl;
    return;
  }
  workspace_tree t;
  fs::create_directories(t / "work");
  CAF_REQUIRE_EQUAL(::mount("tmpfs", (t / "work").c_str(), "tmpfs", 0, "size=1m"), 0);
  {
    file_tools_fixture f(confined_dir::way::best, t);
    put(f.RO + "/big", std::string(std::size_t{2} << 20, 'x'));
    CAF_CHECK_EQUAL(f.write("a", "before"), "ok");
    CAF_CHECK_EQUAL(f.write("a", std::string(900'000, 'y')), "ok");
    CAF_CHECK_EQUAL(f.write("a", std::string(900'000, 'z')), "E_SIZE"); // said before it is tried
    CAF_CHECK_EQUAL(f.copy(f.RO + "/big", "big"), "E_SIZE");
    CAF_CHECK_EQUAL(f.copy(f.RO, "tree"), "E_SIZE");
    auto dir = confined_dir::open(f.W); // and where it is tried all the same
    CAF_CHECK(dir.value.write("a", std::string(900'000, 'z'), {}).error.what == dir_fault::full);
    CAF_CHECK(dir.value.write("b", std::string(900'000, 'z'), {}).error.what == dir_fault::full);
    CAF_CHECK_EQUAL(got(f.W + "/a"), std::string(900'000, 'y'));
    CAF_CHECK_EQUAL(names_in(f.W), 1u); // nothing half written is left
  }
  CAF_CHECK_EQUAL(::umount2((t / "work").c_str(), MNT_DETACH), 0);
}

CAF_TEST(a reader sees a file whole while it is written) {
  each({}, [](file_tools_fixture& f) {
    auto text = [](int i) { return std::string(100'000, static_cast<char>('a' + i % 26)); };
    CAF_CHECK_EQUAL(f.write("f", text(0)), "ok");
    std::atomic<bool> done{false};
    int torn = 0, seen = 0;
    std::thread reader([&] {
      while (!done || seen == 0) {
        auto now = got(f.W + "/f");
        torn += now.size() != 100'000 || now.find_first_not_of(now[0]) != std::string::npos;
        ++seen;
      }
    });
    for (int i = 1; i < 50; ++i)
      CAF_CHECK_EQUAL(f.write("f", text(i)), "ok");
    done = true;
    reader.join();
    CAF_CHECK_EQUAL(torn, 0);
  });
}

CAF_TEST(nothing is put deeper than a workspace may be) {
  file_tool_bounds b;
  b.depth = 3;
  each(b, [](file_tools_fixture& f) {
    CAF_CHECK_EQUAL(f.on("create_directory", "a/b/c"), "ok");
    CAF_CHECK_EQUAL(f.on("create_directory", "a/b/c/d"), "E_SIZE");
    CAF_CHECK(f.text.find("more than 3 folders in each other") != std::string::npos);
    CAF_CHECK_EQUAL(f.write("a/b/c/file", "x"), "ok");
    CAF_CHECK_EQUAL(f.write("a/b/c/d/file", "x"), "E_SIZE");
    CAF_CHECK_EQUAL(f.write("one/two/file", "x"), "ok");
    CAF_CHECK_EQUAL(f.move("one", "a/b/one"), "E_SIZE");
    CAF_CHECK_EQUAL(f.move("one/two", "a/b/c/two"), "E_SIZE");
    CAF_CHECK_EQUAL(f.move("one/two/file", "a/b/c/two"), "ok");
    CAF_CHECK_EQUAL(f.copy(f.W + "/a", "one/a"), "E_SIZE");
    CAF_CHECK(!fs::exists(f.W + "/a/b/c/d") && !fs::exists(f.W + "/one/a"));
    CAF_CHECK_EQUAL(names_in(f.W + "/one"), 1u); // nothing half copied is left
  });
}
