// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.child_process

#include "transports/child_process.hpp"

#include "caf/test/unit_test.hpp"
#include "transports/child_reactor.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <pthread.h>
#include <set>
#include <thread>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// What one child said and how it ended. The callbacks share it, so a late one never meets a dead stack.
struct record {
  std::mutex m;
  std::condition_variable cv;
  std::vector<std::string> lines;
  std::vector<child_exit> exits;

  template <class Pred>
  bool wait(Pred pred, std::chrono::seconds limit = 20s) {
    std::unique_lock lock{m};
    return cv.wait_for(lock, limit, pred);
  }
  bool ended(std::chrono::seconds limit = 20s) {
    return wait([this] { return !exits.empty(); }, limit);
  }
  bool lines_come(std::size_t n) {
    return wait([this, n] { return lines.size() >= n || !exits.empty(); }) && lines.size() >= n;
  }
};

struct run {
  std::shared_ptr<record> seen = std::make_shared<record>();
  std::shared_ptr<child_process> child;

  explicit run(child_options o) {
    if (o.env.empty())
      o.env = safe_environment();
    auto r = seen;
    child = child_process::start(std::move(o), {[r](std::vector<std::string> lines) {
                                                  std::lock_guard lock{r->m};
                                                  for (auto& l : lines)
                                                    r->lines.push_back(std::move(l));
                                                  r->cv.notify_all();
                                                },
                                                [r](child_exit e) {
                                                  std::lock_guard lock{r->m};
                                                  r->exits.push_back(std::move(e));
                                                  r->cv.notify_all();
                                                }});
  }
};

child_options shell(const std::string& script) {
  child_options o;
  o.argv = {"sh", "-c", script};
  return o;
}

child_options command(std::vector<std::string> argv) {
  child_options o;
  o.argv = std::move(argv);
  return o;
}

struct temp_dir {
  fs::path path;
  temp_dir() {
    std::string name = (fs::temp_directory_path() / "conclave-child-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~temp_dir() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

std::string contents(const fs::path& p) {
  std::ifstream in{p, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// A process that was killed and not yet reaped by its new parent counts as gone.
bool alive(int pid) {
  std::ifstream in{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text;
  if (!std::getline(in, text))
    return false;
  auto paren = text.rfind(')');
  return paren != std::string::npos && paren + 2 < text.size() && text[paren + 2] != 'Z' && text[paren + 2] != 'X';
}

bool gone(int pid, std::chrono::seconds limit = 10s) {
  auto end = std::chrono::steady_clock::now() + limit;
  while (alive(pid)) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    std::this_thread::yield();
  }
  return true;
}

// The reactor closes a child's descriptors before on_exit; a round trip makes sure it is idle.
std::set<std::string> open_descriptors() {
  std::mutex m;
  std::condition_variable cv;
  bool done = false;
  child_reactor::get()->post([&] {
    std::lock_guard lock{m};
    done = true;
    cv.notify_all();
  });
  std::unique_lock lock{m};
  cv.wait(lock, [&] { return done; });
  std::set<std::string> out;
  for (auto& e : fs::directory_iterator{"/proc/self/fd"})
    out.insert(e.path().filename().string());
  return out;
}

auto elapsed_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::steady_clock::now() - t;
}

} // namespace

CAF_TEST(cat echoes lines and ends with its input) {
  run r{command({"cat"})};
  CAF_CHECK(r.child->write("one\ntwo\n"));
  CAF_CHECK(r.child->write("thr"));
  CAF_CHECK(r.child->write("ee\n\nlast"));
  CAF_REQUIRE(r.seen->lines_come(4));
  r.child->close();
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->lines, (std::vector<std::string>{"one", "two", "three", "", "last"}));
  CAF_CHECK(r.seen->exits[0].started);
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 0);
  CAF_CHECK_EQUAL(r.seen->exits[0].error, "");
  CAF_CHECK(!r.child->write("too late\n"));
  CAF_CHECK_EQUAL(r.child->pid(), 0);
}

CAF_TEST(a hundred thousand lines come whole and in order) {
  constexpr std::size_t n = 100'000;
  run r{command({"cat"})};
  std::size_t refused = 0;
  for (std::size_t i = 0; i < n; ++i)
    refused += !r.child->write("line " + std::to_string(i) + "\n");
  CAF_REQUIRE_EQUAL(refused, 0u);
  CAF_REQUIRE(r.seen->lines_come(n));
  r.child->close();
  CAF_REQUIRE(r.seen->ended());
  CAF_REQUIRE_EQUAL(r.seen->lines.size(), n);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i)
    wrong += r.seen->lines[i] != "line " + std::to_string(i);
  CAF_CHECK_EQUAL(wrong, 0u);
}

CAF_TEST(a line of just the bound passes and one byte more ends the child) {
  auto o = shell("head -c 100000 /dev/zero | tr '\\0' x; echo; echo after");
  o.max_line = 100'000;
  run good{o};
  CAF_REQUIRE(good.seen->ended());
  CAF_REQUIRE_EQUAL(good.seen->lines.size(), 2u);
  CAF_CHECK_EQUAL(good.seen->lines[0], std::string(100'000, 'x'));
  CAF_CHECK_EQUAL(good.seen->exits[0].error, "");
  o.max_line = 99'999;
  o.argv[2] += "; exec sleep 600";
  run bad{o};
  CAF_REQUIRE(bad.seen->ended());
  CAF_CHECK_EQUAL(bad.seen->lines.size(), 0u);
  CAF_CHECK_EQUAL(bad.seen->exits[0].status, 128 + SIGKILL);
  CAF_CHECK_EQUAL(bad.seen->exits[0].error, "it wrote a line of more than 99999 bytes");
}

CAF_TEST(exit codes and signals are told) {
  run seven{shell("exit 7")};
  run term{shell("kill -TERM $$")};
  CAF_REQUIRE(seven.seen->ended());
  CAF_REQUIRE(term.seen->ended());
  CAF_CHECK_EQUAL(seven.seen->exits[0].status, 7);
  CAF_CHECK_EQUAL(seven.seen->exits[0].error, "");
  CAF_CHECK_EQUAL(term.seen->exits[0].status, 128 + SIGTERM);
  CAF_CHECK_EQUAL(term.seen->exits[0].error, "");
}

CAF_TEST(what cannot start says why) {
  auto why = [](child_options o) {
    run r{std::move(o)};
    if (!r.seen->ended() || r.seen->exits[0].started || !r.seen->lines.empty())
      return std::string{"it started"};
    CAF_CHECK(!r.child->write("x"));
    return r.seen->exits[0].error;
  };
  CAF_CHECK_EQUAL(why(command({"no-such-program-anywhere"})), "no program 'no-such-program-anywhere' on the PATH");
  CAF_CHECK_EQUAL(why(command({"/no/such/program"})), "cannot run '/no/such/program': No such file or directory");
  CAF_CHECK_EQUAL(why(command({"/etc/passwd"})), "cannot run '/etc/passwd': Permission denied");
  CAF_CHECK_EQUAL(why(command({})), "no program was named");
  CAF_CHECK_EQUAL(why(command({"echo", std::string{"a\0b", 3}})),
                  "the command, its directory or its environment holds a NUL byte or a bad variable name");
  auto o = command({"cat"});
  o.cwd = "/no/such/dir";
  CAF_CHECK_EQUAL(why(o), "no working directory '/no/such/dir': No such file or directory");
}

CAF_TEST(the child gets its environment and directory and nothing else) {
  ::setenv("CONCLAVE_TEST_SECRET", "s3cret", 1);
  auto leaked = ::dup(1); // a descriptor without close-on-exec, as another library may leave it
  ::signal(SIGPIPE, SIG_IGN);
  auto o = shell("pwd; env | grep -c SECRET; echo $MINE; ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status");
  o.env = safe_environment();
  o.env["MINE"] = "mine";
  o.cwd = "/usr";
  run r{o};
  CAF_REQUIRE(r.seen->ended());
  ::signal(SIGPIPE, SIG_DFL);
  ::close(leaked);
  // ls itself holds the directory: 0 1 2 and that one.
  CAF_CHECK_EQUAL(r.seen->lines,
                  (std::vector<std::string>{"/usr", "0", "mine", "4", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"}));
}

CAF_TEST(a child deaf to SIGTERM and to the end of its input dies within five seconds) {
  run r{shell("trap '' TERM; echo ready; while :; do sleep 1; done")};
  CAF_REQUIRE(r.seen->lines_come(1));
  auto pid = r.child->pid();
  CAF_CHECK(pid > 0);
  auto t = std::chrono::steady_clock::now();
  r.child->close();
  CAF_REQUIRE(r.seen->ended(5s));
  CAF_CHECK(elapsed_since(t) >= 3900ms);
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 128 + SIGKILL);
  CAF_CHECK_EQUAL(r.seen->exits[0].error, "ended by SIGKILL: it ignored the end of its input and SIGTERM");
  CAF_CHECK(!alive(pid));
}

CAF_TEST(a child deaf to the end of its input may clean up at SIGTERM) {
  run r{shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")};
  CAF_REQUIRE(r.seen->lines_come(1));
  r.child.reset(); // the end of the handle is a close
  CAF_REQUIRE(r.seen->ended(5s));
  CAF_CHECK_EQUAL(r.seen->lines.back(), "bye");
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 3);
}

CAF_TEST(a grandchild that holds the pipes delays nothing and is ended with the group) {
  run r{shell("sleep 600 & echo $!")};
  auto t = std::chrono::steady_clock::now();
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK(elapsed_since(t) < 10s);
  CAF_REQUIRE_EQUAL(r.seen->lines.size(), 1u);
  CAF_CHECK(gone(std::atoi(r.seen->lines[0].c_str())));
  // One that left the group lives on, holds stdout, and still nobody waits for it.
  run s{shell("setsid sleep 600 & echo $!")};
  CAF_REQUIRE(s.seen->ended());
  CAF_REQUIRE_EQUAL(s.seen->lines.size(), 1u);
  ::kill(std::atoi(s.seen->lines[0].c_str()), SIGKILL);
}

CAF_TEST(kill ends the whole group at once) {
  run r{shell("sleep 600 & echo $!; wait")};
  CAF_REQUIRE(r.seen->lines_come(1));
  r.child->kill();
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 128 + SIGKILL);
  CAF_CHECK_EQUAL(r.seen->exits[0].error, "killed");
  CAF_CHECK(gone(std::atoi(r.seen->lines[0].c_str())));
}

CAF_TEST(input is bounded and refused when nobody reads) {
  run r{shell("exec sleep 600")};
  CAF_CHECK(!r.child->write(std::string((32u << 20) + 1, 'x')));
  CAF_CHECK(r.child->write(std::string(16u << 20, 'x')));
  std::size_t accepted = 0;
  while (r.child->write(std::string(1u << 20, 'x')) && accepted < 64)
    ++accepted;
  CAF_CHECK(accepted >= 15u);
  CAF_CHECK(accepted <= 16u);
  r.child->kill();
  CAF_REQUIRE(r.seen->ended());
  run deaf{shell("exec 0<&-; echo closed; exec sleep 600")};
  CAF_REQUIRE(deaf.seen->lines_come(1));
  auto end = std::chrono::steady_clock::now() + 10s;
  bool refused = false; // the first write meets EPIPE, a later one is told
  while (!refused && std::chrono::steady_clock::now() < end)
    refused = !deaf.child->write("x");
  CAF_CHECK(refused);
  CAF_CHECK(deaf.child->pid() > 0);
  deaf.child->kill();
  CAF_REQUIRE(deaf.seen->ended());
}

CAF_TEST(sixteen megabytes accepted before close still arrive) {
  run r{shell("wc -c")};
  CAF_CHECK(r.child->write(std::string(16u << 20, 'x')));
  r.child->close();
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->lines, std::vector<std::string>{std::to_string(16u << 20)});
}

CAF_TEST(stderr is appended to a file and capped) {
  temp_dir dir;
  auto o = shell("echo first >&2");
  o.stderr_path = (dir.path / "err.log").string();
  run a{o};
  CAF_REQUIRE(a.seen->ended());
  o.argv[2] = "echo second >&2; head -c 3000000 /dev/zero >&2; echo done";
  run b{o};
  CAF_REQUIRE(b.seen->ended());
  CAF_CHECK_EQUAL(b.seen->lines, std::vector<std::string>{"done"}); // the cap never blocks the writer
  auto text = contents(o.stderr_path);
  CAF_CHECK_EQUAL(text.size(), 1u << 20);
  CAF_CHECK_EQUAL(text.substr(0, 13), "first\nsecond\n");
  CAF_CHECK_EQUAL(static_cast<unsigned>(fs::status(o.stderr_path).permissions()), 0600u);
  o.stderr_path = (dir.path / "no" / "such" / "dir").string();
  run c{o};
  CAF_REQUIRE(c.seen->ended());
  CAF_CHECK_EQUAL(c.seen->exits[0].status, 0); // a log that cannot be kept is no reason to fail
}

CAF_TEST(the end of what went to stderr is known when the child has ended) {
  temp_dir dir;
  auto o = shell("head -c 100000 /dev/zero | tr '\\0' x >&2; echo >&2; read line; echo \"last $line\" >&2");
  o.stderr_path = (dir.path / "err.log").string();
  for (int i = 0; i < 2; ++i) {
    run r{o};
    r.child->log("ours");
    r.child->write("words\n");
    CAF_REQUIRE(r.seen->ended());
    auto words = r.child->last_words();
    CAF_CHECK_EQUAL(words.size(), child_process::max_last_words);
    CAF_CHECK(words.ends_with("x\nlast words\n"));
    auto kept = contents(dir.path / "err.log");
    CAF_CHECK(kept.find("ours\n") != std::string::npos && kept.find("last words\n") != std::string::npos);
    o.stderr_path.clear(); // without a file too
  }
}

CAF_TEST(a log that takes its time to be written keeps no child waiting) {
  temp_dir dir;
  std::promise<void> release;
  auto stuck = release.get_future().share(); // as a write to a disk that hangs
  auto o = shell("echo slow >&2; echo said");
  o.stderr_path = (dir.path / "err.log").string();
  o.clean_log = [stuck](std::string&) { stuck.wait(); };
  run slow{o};
  CAF_REQUIRE(slow.seen->ended(5s)); // its end is told without its log
  CAF_CHECK_EQUAL(slow.seen->lines, std::vector<std::string>{"said"});
  run other{command({"cat"})};
  other.child->write("meanwhile\n");
  CAF_REQUIRE(other.seen->lines_come(1));
  auto talker = shell("head -c 9000000 /dev/zero >&2; echo >&2; echo done");
  talker.stderr_path = (dir.path / "more.log").string();
  run loud{talker};
  CAF_REQUIRE(loud.seen->ended(10s)); // it is read on, and what waits is bounded
  release.set_value();
  run last{o};
  CAF_REQUIRE(last.seen->ended());
  CAF_CHECK_EQUAL(contents(dir.path / "err.log"), "slow\nslow\n");
  CAF_CHECK_EQUAL(contents(dir.path / "more.log").size(), 1u << 20);
}

CAF_TEST(fifty children at once leave no descriptor behind) {
  { // what the first child opens for good (the reactor) is no leak
    run warm{shell("exit 0")};
    CAF_REQUIRE(warm.seen->ended());
  }
  auto before = open_descriptors();
  temp_dir dir;
  std::vector<run> runs;
  for (int i = 0; i < 50; ++i) {
    auto o = i % 10 == 9 ? command({"/no/such/program"}) : command({"cat"});
    o.stderr_path = (dir.path / "err.log").string();
    runs.emplace_back(std::move(o));
    runs.back().child->write("hello " + std::to_string(i) + "\n");
  }
  int wrong = 0;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (i % 10 != 9)
      wrong += !runs[i].seen->lines_come(1) || runs[i].seen->lines[0] != "hello " + std::to_string(i);
  for (auto& r : runs)
    r.child->close();
  for (auto& r : runs)
    wrong += !r.seen->ended() || r.seen->exits.size() != 1;
  CAF_CHECK_EQUAL(wrong, 0);
  CAF_CHECK_EQUAL(open_descriptors(), before);
}

// Run as a child of the next test only: starts a child of its own and waits to be killed.
// What a thread that is not there in the child held at a fork stays held: a child that runs anything of the host's may wait for
// ever.
CAF_TEST(nothing of the host runs in a child before its program does) {
  static std::atomic<bool> trap{false};
  ::pthread_atfork(nullptr, nullptr, [] {
    if (trap)
      ::_exit(99);
  });
  trap = true;
  run r{shell("exit 7")};
  CAF_REQUIRE(r.seen->ended());
  trap = false;
  CAF_CHECK(r.seen->exits[0].started);
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 7);
}

CAF_TEST(helper of the next test) {
  CAF_CHECK(true);
  if (!std::getenv("CONCLAVE_TEST_PARENT"))
    return;
  run r{shell("trap '' TERM HUP; exec sleep 600")};
  while (r.child->pid() == 0)
    std::this_thread::yield();
  auto text = "pid " + std::to_string(r.child->pid()) + "\n";
  [[maybe_unused]] auto n = ::write(1, text.data(), text.size());
  r.seen->ended(600s);
}

CAF_TEST(kill minus nine of the parent leaves no child) {
  auto o = command({"/proc/self/exe", "-n", "-v", "0", "-s", "^transports.child_process$", "-t", "^helper of the next test$"});
  o.argv[0] = fs::read_symlink("/proc/self/exe").string();
  o.env = safe_environment();
  o.env["CONCLAVE_TEST_PARENT"] = "1";
  run r{o};
  int pid = 0;
  CAF_REQUIRE(r.seen->wait([&] {
    for (auto& l : r.seen->lines)
      if (auto pos = l.find("pid "); pos != std::string::npos)
        pid = std::atoi(l.c_str() + pos + 4);
    return pid > 0 || !r.seen->exits.empty();
  }));
  CAF_REQUIRE(pid > 0);
  CAF_CHECK(alive(pid));
  ::kill(r.child->pid(), SIGKILL); // the parent alone, not its group; the child has a group of its own anyway
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK(gone(pid));
}

CAF_TEST(timers run in order of their times and not early) {
  std::mutex m;
  std::condition_variable cv;
  std::vector<int> order;
  auto t = std::chrono::steady_clock::now();
  auto note = [&](int i) {
    std::lock_guard lock{m};
    order.push_back(i);
    cv.notify_all();
  };
  auto* reactor = child_reactor::get();
  CAF_REQUIRE(reactor);
  reactor->after(60ms, [&] { note(2); });
  reactor->after(20ms, [&] { note(1); });
  reactor->after(0ms, [&] { note(0); });
  std::unique_lock lock{m};
  CAF_REQUIRE(cv.wait_for(lock, 10s, [&] { return order.size() == 3; }));
  CAF_CHECK_EQUAL(order, (std::vector<int>{0, 1, 2}));
  CAF_CHECK(elapsed_since(t) >= 60ms);
}
