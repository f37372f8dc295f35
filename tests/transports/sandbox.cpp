// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.sandbox

#include "transports/sandbox.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/sandbox_filter.hpp"
#include "transports/sandbox_finder.hpp"
#include "transports/sandbox_launcher/output.hpp"
#include "transports/sandbox_lines.hpp"
#include "transports/sandbox_self_test.hpp"

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

using why = command_end::reason;

template <class T>
struct answer {
  std::shared_ptr<std::promise<T>> promise = std::make_shared<std::promise<T>>();
  std::function<void(T)> callback() {
    return [p = promise](T v) { p->set_value(std::move(v)); };
  }
  T get() {
    auto f = promise->get_future();
    CAF_REQUIRE(f.wait_for(30s) == std::future_status::ready);
    return f.get();
  }
};

struct fixture {
  fs::path base;
  sandbox_profile profile;

  fixture() {
    std::string name = (fs::temp_directory_path() / "conclave-sandbox-XXXXXX").string();
    base = fs::canonical(::mkdtemp(name.data()));
    for (const auto* folder : {"work", "read", "out"})
      fs::create_directory(base / folder);
    std::ofstream(base / "read" / "file") << "kept";
    std::ofstream(base / "out" / "file") << "secret";
    profile.readable = {(base / "read").string()};
    profile.writable = {(base / "work").string()};
    profile.env = {{"PATH", "/usr/bin:/bin"}};
  }
  ~fixture() { fs::remove_all(base); }

  std::shared_ptr<sandbox> open(sandbox_tier tier) {
    profile.tier = tier;
    return sandbox::open(outside::of_machine(), profile, find_sandbox_launcher());
  }

  sandbox_command command(std::string text) {
    sandbox_command c;
    c.command = std::move(text);
    c.work_dir = (base / "work").string();
    return c;
  }

  command_end run(sandbox& box, std::string text) {
    answer<command_end> a;
    box.run(command(std::move(text)), a.callback());
    return a.get();
  }

  /// What holds on this machine and can therefore be tested.
  std::vector<sandbox_tier> tiers() {
    std::vector<sandbox_tier> out{sandbox_tier::off};
    for (auto t : {sandbox_tier::landlock, sandbox_tier::namespaces})
      if (auto r = test(t); r.passed)
        out.push_back(t);
      else
        std::printf("skipped: tier %s: %s\n", to_string(t).c_str(), r.why.c_str());
    return out;
  }

  sandbox_report test(sandbox_tier t) {
    answer<sandbox_report> a;
    test_sandbox(outside::of_machine(), find_sandbox_launcher(), t, (base / "canary").string(), a.callback());
    return a.get();
  }
};

/// The children of this process that are launchers.
std::set<int> launchers() {
  std::set<int> out;
  for (const auto& e : fs::directory_iterator("/proc")) {
    std::ifstream stat(e.path() / "stat");
    std::string text;
    std::getline(stat, text);
    auto name = text.rfind(')');
    int parent = 0;
    if (text.find("(conclave-sandbo)") != std::string::npos && std::sscanf(text.c_str() + name + 1, " %*c %d", &parent) == 1
        && parent == ::getpid())
      out.insert(std::stoi(e.path().filename().string()));
  }
  return out;
}

bool read(const std::string& text) {
  sandbox_line l;
  return sandbox_line::read(text, l);
}

} // namespace

CAF_TEST(lines are read as they were written) {
  std::string all;
  for (int c = 0; c < 256; ++c)
    all += static_cast<char>(c);
  auto text = sandbox_line("run").add("id", 7).add("command", all).add("env", "A=b c").add("env", "").text();
  CAF_CHECK_EQUAL(text.find('\n'), text.size() - 1);
  sandbox_line l;
  CAF_REQUIRE(sandbox_line::read(std::string_view{text}.substr(0, text.size() - 1), l));
  CAF_CHECK_EQUAL(l.word, "run");
  CAF_CHECK_EQUAL(l.number("id"), 7);
  CAF_CHECK_EQUAL(l.get("command"), all);
  CAF_CHECK_EQUAL(l.all("env"), (std::vector<std::string>{"A=b c", ""}));
  CAF_CHECK_EQUAL(l.number("command", -5), -5);
  CAF_CHECK_EQUAL(l.get("none"), "");
}

CAF_TEST(lines that nobody writes are refused) {
  for (const auto* text : {"", " a=b", "run id", "run =x", "run a=\\", "run a=\\x", "run  a=b"})
    CAF_CHECK(!read(text));
  CAF_CHECK(read("run"));
}

CAF_TEST(of too much output the beginning and the end are kept) {
  for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100}, std::size_t{5000}}) {
    std::string all;
    for (int i = 0; i < 1500; ++i)
      all += std::to_string(i) + " ";
    launcher::bounded_output o(1000);
    for (std::size_t at = 0; at < all.size(); at += piece)
      o.add(std::string_view{all}.substr(at, piece));
    auto t = o.take();
    CAF_CHECK_EQUAL(t.text, all.substr(0, 750) + all.substr(all.size() - 250));
    CAF_CHECK_EQUAL(t.at, 750);
    CAF_CHECK_EQUAL(t.cut, static_cast<std::int64_t>(all.size()) - 1000);
    o.add("on");
    CAF_CHECK_EQUAL(o.take().text, "on");
  }
}

CAF_TEST(a filter is compiled for each tier) {
  for (bool namespaces : {true, false})
    for (int landlock : {0, 2, 7})
      for (bool internet : {false, true}) {
        std::string error;
        auto bytes = sandbox_filter{namespaces, landlock, internet}.compile(error);
        CAF_CHECK_EQUAL(error, "");
        CAF_CHECK(bytes.size() > 8 * 50 && bytes.size() % 8 == 0);
      }
}

CAF_TEST_FIXTURE_SCOPE(real_launcher, fixture)

CAF_TEST(commands run in what is granted) {
  for (auto t : tiers()) {
    auto box = open(t);
    auto e = run(*box, "cat ../read/file; echo made > made; echo oops >&2; exit 3");
    CAF_CHECK(e.why == why::exited);
    CAF_CHECK_EQUAL(e.status, 3);
    CAF_CHECK_EQUAL(e.out.text, "kept");
    CAF_CHECK_EQUAL(e.err.text, "oops\n");
    CAF_CHECK(fs::exists(base / "work" / "made"));
    auto outside = run(*box, "cat ../out/file");
    CAF_CHECK_EQUAL(outside.out.text, t == sandbox_tier::off ? "secret" : "");
    CAF_CHECK(!box->traits().empty());
  }
}

CAF_TEST(a command has its environment and no other) {
  ::setenv("CONCLAVE_TEST_SECRET", "planted", 1);
  for (auto t : tiers()) {
    auto box = open(t);
    auto c = command("env");
    c.env = {{"EXTRA", "of this\ncommand"}, {"PATH", "/bin"}};
    answer<command_end> a;
    box->run(std::move(c), a.callback());
    auto e = a.get();
    CAF_CHECK_EQUAL(e.out.text.find("planted"), std::string::npos);
    CAF_CHECK_NOT_EQUAL(e.out.text.find("EXTRA=of this\ncommand\n"), std::string::npos);
    CAF_CHECK_NOT_EQUAL(e.out.text.find("PATH=/bin\n"), std::string::npos);
    CAF_CHECK_EQUAL(e.out.text.find("/usr/bin"), std::string::npos);
  }
}

CAF_TEST(in the background output is read bit by bit) {
  for (auto t : tiers()) {
    auto box = open(t);
    auto c = command("echo one; until [ -e go ]; do sleep 0.02; done; echo two; touch done; exec sleep 600");
    c.background = true;
    c.timeout_ms = 0;
    answer<command_end> end;
    auto id = box->run(std::move(c), end.callback());
    auto next = [&] {
      answer<command_news> a;
      box->read_output(id, a.callback());
      return a.get();
    };
    std::string all;
    while (all.empty())
      all += next().out.text;
    CAF_CHECK_EQUAL(all, "one\n");
    run(*box, "touch go; until [ -e done ]; do sleep 0.02; done");
    auto n = next();
    CAF_CHECK(n.running);
    CAF_CHECK_EQUAL(n.out.text, "two\n");
    box->kill(id);
    CAF_CHECK(end.get().why == why::killed);
    CAF_CHECK(!next().running);
    fs::remove(base / "work" / "go");
    fs::remove(base / "work" / "done");
  }
}

CAF_TEST(when the launcher dies its commands fail and the next one starts it anew) {
  for (auto t : tiers()) {
    auto box = open(t);
    answer<command_end> end;
    box->run(command("touch there; sleep 600"), end.callback());
    while (!fs::exists(base / "work" / "there"))
      std::this_thread::yield();
    for (auto pid : launchers()) // also those of the tests of tiers, which may be about to end
      ::kill(pid, SIGKILL);
    auto e = end.get();
    CAF_CHECK(e.why == why::failed);
    CAF_CHECK_NOT_EQUAL(e.error, "");
    CAF_CHECK_EQUAL(run(*box, "echo again").out.text, "again\n");
    fs::remove(base / "work" / "there");
  }
}

CAF_TEST(close ends what runs and refuses what comes) {
  for (auto t : tiers()) {
    auto box = open(t);
    answer<command_end> first, second;
    box->run(command("sleep 600"), first.callback());
    box->close();
    CAF_CHECK(first.get().why != why::exited);
    box->run(command("echo late"), second.callback());
    CAF_CHECK(second.get().why == why::failed);
  }
}

CAF_TEST(what cannot be had is said) {
  auto none = sandbox::open(outside::of_machine(), profile, "");
  answer<command_end> a;
  none->run(command("true"), a.callback());
  CAF_CHECK_NOT_EQUAL(a.get().error.find("conclave-sandbox"), std::string::npos);
  auto gone = sandbox::open(outside::of_machine(), profile, "/nonexistent/conclave-sandbox");
  answer<command_end> b;
  gone->run(command("true"), b.callback());
  CAF_CHECK_NOT_EQUAL(b.get().error, "");
  profile.readable = {"/etc/../etc"};
  answer<command_end> c;
  auto bad = open(sandbox_tier::namespaces);
  bad->run(command("true"), c.callback());
  CAF_CHECK_NOT_EQUAL(c.get().error.find("not a plain absolute path"), std::string::npos);
}

CAF_TEST(the self test fails where nothing confines) {
  auto r = test(sandbox_tier::off);
  CAF_CHECK(!r.passed);
  CAF_CHECK_NOT_EQUAL(r.why.find("read_outside"), std::string::npos);
  std::size_t open = 0;
  for (const auto& p : r.probes)
    open += !p.held;
  CAF_CHECK(open >= 6);
  CAF_CHECK(!fs::exists(base / "canary"));
}

CAF_TEST(without a launcher nothing is run in any mode) {
  for (auto mode : {sandbox_mode::required, sandbox_mode::automatic, sandbox_mode::off}) {
    answer<sandbox_choice> a;
    choose_sandbox(outside::of_machine(), "", mode, (base / "canary").string(), a.callback());
    auto c = a.get();
    CAF_CHECK(!c.usable);
    CAF_CHECK_NOT_EQUAL(c.error.find("conclave-sandbox is missing: it is looked for in /"), std::string::npos);
  }
}

CAF_TEST(a test is in the way of no other one) {
  auto home = base / "home";
  fs::create_directories(home / "canary-0" / "work"); // of a process that was killed
  fs::create_directories(home / "canary-killed");
  fs::create_directories(home / "new-canary-killed");
  std::array<sandbox_choice, 4> got;
  std::vector<std::thread> all;
  for (auto& one : got)
    all.emplace_back([&] { one = sandbox_finder{outside::of_machine(), home.string()}.find(sandbox_mode::required); });
  for (auto& t : all)
    t.join();
  for (const auto& one : got) {
    CAF_CHECK(one.usable);
    CAF_CHECK_EQUAL(one.error, "");
    CAF_CHECK_EQUAL(to_string(one.tier), to_string(got[0].tier));
  }
  CAF_CHECK(fs::is_empty(home));
  fs::remove(home);
  std::ofstream{home} << "no folder"; // nothing can be made: that is no reason for less
  for (auto mode : {sandbox_mode::required, sandbox_mode::automatic})
    CAF_CHECK(!(sandbox_finder{outside::of_machine(), home.string()}.find(mode).usable));
}

CAF_TEST(the strongest tier that holds is taken) {
  sandbox_report good{sandbox_tier::namespaces, true, "", {}, {}, true},
      bad{sandbox_tier::namespaces, false, "no namespaces", {}, {}, true};
  sandbox_report weaker{sandbox_tier::landlock, true, "", {}, {}, true},
      none{sandbox_tier::landlock, false, "no Landlock", {}, {}, true};
  auto c = choice_of(sandbox_mode::required, {good});
  CAF_CHECK(c.usable && c.tier == sandbox_tier::namespaces && c.error.empty());
  c = choice_of(sandbox_mode::required, {bad, weaker});
  CAF_CHECK(c.usable && c.tier == sandbox_tier::landlock && c.error.empty());
  c = choice_of(sandbox_mode::required, {bad, none});
  CAF_CHECK(!c.usable);
  for (const auto* part : {"no namespaces", "no Landlock", "sysctl", "sandbox.mode: off"})
    CAF_CHECK_NOT_EQUAL(c.error.find(part), std::string::npos);
  c = choice_of(sandbox_mode::automatic, {bad, none});
  CAF_CHECK(c.usable && c.tier == sandbox_tier::off && !c.error.empty());
  none.tried = false; // what could not be found out is no reason for less
  none.why = "no files can be made";
  for (auto mode : {sandbox_mode::required, sandbox_mode::automatic}) {
    c = choice_of(mode, {bad, none});
    CAF_CHECK(!c.usable);
    CAF_CHECK_NOT_EQUAL(c.error.find("could not be found out (landlock: no files can be made)"), std::string::npos);
  }
  c = choice_of(sandbox_mode::off, {});
  CAF_CHECK(c.usable && c.tier == sandbox_tier::off && !c.error.empty());
}

CAF_TEST_FIXTURE_SCOPE_END()
