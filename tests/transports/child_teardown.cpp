// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE transports.child_teardown

// How children end when this process does, and what they see of it.

#include "caf/test/unit_test.hpp"
#include "transports/child_process.hpp"
#include "transports/mcp_channel.hpp"
#include "transports/outside.hpp"

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

using namespace conclave;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct record {
  std::mutex m;
  std::condition_variable cv;
  std::vector<std::string> lines;
  int silences = 0, deafs = 0;
  std::vector<child_exit> exits;

  template <class Pred>
  bool wait(Pred pred, std::chrono::milliseconds limit = 20s) {
    std::unique_lock lock{m};
    return cv.wait_for(lock, limit, pred);
  }
  bool ended() {
    return wait([this] { return !exits.empty(); });
  }
};

struct run {
  std::shared_ptr<record> seen = std::make_shared<record>();
  std::shared_ptr<child_process> child;

  explicit run(std::vector<std::string> argv, std::map<std::string, std::string> env = {}, std::string log = {},
               std::size_t max_waiting = 0) {
    child_options o;
    o.argv = std::move(argv);
    o.env = safe_environment();
    o.env.merge(env);
    o.stderr_path = std::move(log);
    o.max_waiting = max_waiting;
    child_process::callbacks cb;
    auto note = [r = seen](auto change) {
      std::lock_guard lock{r->m};
      change(*r);
      r->cv.notify_all();
    };
    cb.on_lines = [note](std::vector<std::string> lines) {
      note([&](record& r) { r.lines.insert(r.lines.end(), lines.begin(), lines.end()); });
    };
    cb.on_silence = [note] { note([](record& r) { ++r.silences; }); };
    cb.on_deaf = [note] { note([](record& r) { ++r.deafs; }); };
    cb.on_exit = [note](child_exit e) { note([&](record& r) { r.exits.push_back(std::move(e)); }); };
    child = child_process::start(std::move(o), std::move(cb));
  }
};

/// This program again, with the one test that is named `helper` and told what to do.
run helper(const std::string& what, const std::string& arg = {}) {
  return run{{fs::read_symlink("/proc/self/exe").string(), "-n", "-v", "0", "-s", "^transports.child_teardown$", "-t", "^helper$"},
             {{"CONCLAVE_TEST_HELPER", what}, {"CONCLAVE_TEST_ARG", arg}}};
}

void say(const std::string& text) {
  auto line = text + "\n";
  [[maybe_unused]] auto n = ::write(1, line.data(), line.size());
}

bool alive(int pid) {
  std::ifstream in{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text;
  if (!std::getline(in, text))
    return false;
  auto paren = text.rfind(')');
  return paren != std::string::npos && paren + 2 < text.size() && text[paren + 2] != 'Z' && text[paren + 2] != 'X';
}

/// The end of a process that is no child of ours has no event to wait for.
bool gone(int pid, std::chrono::seconds limit) {
  auto end = std::chrono::steady_clock::now() + limit;
  while (alive(pid) && std::chrono::steady_clock::now() < end)
    ::usleep(5'000);
  return !alive(pid);
}

/// A file that others write, and its name.
struct temp_file {
  std::string path;
  temp_file() {
    auto name = (fs::temp_directory_path() / "conclave-teardown-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
    fs::remove(path);
  }
  ~temp_file() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  std::string text() const {
    std::ifstream in{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  /// Whether it comes to hold this.
  bool holds(const std::string& what, std::chrono::seconds limit) const {
    auto end = std::chrono::steady_clock::now() + limit;
    while (text().find(what) == std::string::npos && std::chrono::steady_clock::now() < end)
      ::usleep(5'000);
    return text().find(what) != std::string::npos;
  }
};

/// A wrapper that ends with status 3 at SIGUSR1, and the script of its server, which goes on.
std::vector<std::string> wrapper(const std::string& server) {
  return {"sh", "-c", "trap 'exit 3' USR1; exec 3<&0; sh -c '" + server + "' <&3 3<&- & exec 3<&-; wait"};
}

int number_after(record& r, const std::string& word) {
  int pid = 0;
  r.wait([&] {
    for (auto& l : r.lines)
      if (auto pos = l.find(word); pos != std::string::npos)
        pid = std::atoi(l.c_str() + pos + word.size());
    return pid > 0 || !r.exits.empty();
  });
  return pid;
}

/// Who reads a pipe of ours in a session of its own.
std::set<int> reapers() {
  std::set<fs::path> ours;
  std::error_code ignored;
  for (auto& e : fs::directory_iterator{"/proc/self/fd"})
    ours.insert(fs::read_symlink(e.path(), ignored));
  std::set<int> out;
  for (auto& e : fs::directory_iterator{"/proc"}) {
    auto pid = std::atoi(e.path().filename().c_str());
    auto input = fs::read_symlink(e.path() / "fd" / "0", ignored);
    if (pid > 0 && input.native().rfind("pipe:", 0) == 0 && ours.count(input) && ::getsid(pid) != ::getsid(0))
      out.insert(pid);
  }
  return out;
}

std::string status_line(const std::string& name) {
  std::ifstream in{"/proc/self/status"};
  for (std::string line; std::getline(in, line);)
    if (line.rfind(name, 0) == 0)
      return line;
  return {};
}

} // namespace

// Run as a child of other tests only.
CAF_TEST(helper) {
  CAF_CHECK(true);
  auto* what = std::getenv("CONCLAVE_TEST_HELPER");
  if (!what)
    return;
  auto* arg = std::getenv("CONCLAVE_TEST_ARG");
  static std::vector<run> children;        // alive until the process ends
  if (std::string_view{what} == "saver") { // ends by returning from main, with a child that saves its state
    children.emplace_back(std::vector<std::string>{"sh", "-c", "echo up; cat; sleep 0.3; echo saved > " + std::string{arg}});
    children.back().seen->wait([&] { return !children.back().seen->lines.empty(); });
  } else if (std::string_view{what} == "left") { // with a wrapper that ended before it, and left a server behind
    children.emplace_back(wrapper("echo up; cat; sleep 0.5; echo saved > " + std::string{arg}));
    auto& r = children.back();
    r.seen->wait([&] { return !r.seen->lines.empty(); });
    ::kill(r.child->pid(), SIGUSR1);
    r.seen->wait([&] { return !r.seen->exits.empty(); });
  } else if (std::string_view{what} == "left victim") { // is killed while one it left behind is deaf to all
    children.emplace_back(wrapper("trap : TERM; echo deaf $$; while :; do sleep 0.1; done"));
    auto& r = children.back();
    auto deaf = number_after(*r.seen, "deaf ");
    ::kill(r.child->pid(), SIGUSR1);
    r.seen->wait([&] { return !r.seen->exits.empty(); });
    say("deaf " + std::to_string(deaf));
    r.seen->wait([] { return false; }, 600s);
  } else { // is killed, with children whose groups hold more than the child
    auto script = std::string{"trap '' TERM; sh -c \"trap '' TERM; echo deaf \\$\\$; exec sleep 600\" & wait"};
    children.emplace_back(std::vector<std::string>{"sh", "-c", script});
    children.emplace_back(
        std::vector<std::string>{"sh", "-c", "sh -c 'echo up; cat; sleep 0.3; echo saved > " + std::string{arg} + "' <&0 & wait"});
    auto deaf = number_after(*children[0].seen, "deaf ");
    children[1].seen->wait([&] { return !children[1].seen->lines.empty(); });
    say("deaf " + std::to_string(deaf));
    children[0].seen->wait([] { return false; }, 600s);
  }
}

CAF_TEST(a child that closes its output and lives on is noticed at once) {
  run r{{"sh", "-c", "echo last; exec >&-; exec sleep 600"}};
  CAF_CHECK(r.seen->wait([&] { return r.seen->silences > 0; }, 5s));
  CAF_CHECK_EQUAL(r.seen->lines, std::vector<std::string>{"last"});
  CAF_CHECK(r.seen->exits.empty());
  r.child->kill();
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->silences, 1);
  run s{{"sh", "-c", "echo last"}}; // one that just ends is not silent
  CAF_REQUIRE(s.seen->ended());
  CAF_CHECK_EQUAL(s.seen->silences, 0);
}

CAF_TEST(a tool server that closes its output fails at once and only once) {
  mcp_server_config config;
  config.name = "s";
  config.type = "stdio";
  config.command = {"sh", "-c", "exec >&-; read line"};
  auto seen = std::make_shared<record>();
  mcp_channel::callbacks cb;
  cb.on_message = [](std::string) {};
  cb.on_close = [seen](ec, std::string why, bool) {
    std::lock_guard lock{seen->m};
    seen->lines.push_back(std::move(why));
    seen->cv.notify_all();
  };
  std::string error;
  auto channel = open_mcp_channel(*outside::of_machine(), config, "", std::move(cb), error);
  CAF_REQUIRE(channel);
  CAF_CHECK(seen->wait([&] { return !seen->lines.empty(); }, 5s));
  channel->close();
  run after{{"sh", "-c", "cat"}}; // its end comes after that of the server, on the same thread
  after.child->close();
  CAF_REQUIRE(after.seen->ended());
  CAF_CHECK_EQUAL(seen->lines, std::vector<std::string>{"closed its output"});
}

CAF_TEST(the end of the process waits until a child has saved its state) {
  auto file = fs::temp_directory_path() / ("conclave-saved-" + std::to_string(::getpid()));
  fs::remove(file);
  auto r = helper("saver", file.string());
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 0);
  CAF_CHECK(fs::exists(file));
  fs::remove(file);
}

CAF_TEST(a server whose wrapper ends before it has the whole ladder) {
  const char* wrapped[] = {
      // a shell dies of the SIGTERM at which its server saves
      R"(sh -c 'trap "sleep 0.3; echo saved; exit" TERM; echo up; sleep 600 & wait' </dev/null; true)",
      // one that ends with its input
      R"(sh -c 'echo up; cat; sleep 0.3; echo saved' <&0 & cat >/dev/null)",
  };
  for (auto* script : wrapped) {
    run r{{"sh", "-c", script}};
    CAF_REQUIRE(r.seen->wait([&] { return !r.seen->lines.empty(); }));
    r.child->close();
    CAF_REQUIRE(r.seen->ended());
    CAF_CHECK_EQUAL(r.seen->lines.back(), "saved");
  }
  run deaf{{"sh", "-c", "sh -c 'trap : TERM; echo $$; while :; do sleep 0.1; done' <&0 & cat"}}; // and no more than that
  auto pid = number_after(*deaf.seen, "");
  deaf.child->close();
  CAF_CHECK(deaf.seen->wait([&] { return !deaf.seen->exits.empty(); }, 5s));
  CAF_CHECK(pid > 0 && gone(pid, 1s));
}

CAF_TEST(a server whose wrapper dies first is told so and may save its state) {
  auto saves = std::string{"echo up $$; cat >/dev/null; sleep 0.3; echo saved >> $FILE"};
  struct {
    std::string server;
    int end; ///< the signal for the wrapper
    int status;
    std::chrono::milliseconds limit;
  } cases[] = {
      {saves, SIGUSR1, 3, 2s},
      {saves, SIGTERM, 128 + SIGTERM, 2s},
      {saves, SIGKILL, 128 + SIGKILL, 2s},
      // one that does not care for its input, and saves at SIGTERM
      {"trap \"sleep 0.3; echo saved >> $FILE; exit\" TERM; echo up $$; while :; do sleep 0.1; done", SIGUSR1, 3, 4s},
      // one that says a lot before it saves, to its output and to its log
      {"echo up $$; cat >/dev/null; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo; echo saved >> $FILE", SIGUSR1,
       3, 2s},
  };
  for (auto& c : cases) {
    CAF_MESSAGE(c.server);
    temp_file file, log;
    run r{wrapper(c.server), {{"FILE", file.path}}, log.path, 1'000};
    auto server = number_after(*r.seen, "up ");
    CAF_REQUIRE(server > 0);
    auto leader = r.child->pid();
    auto t = std::chrono::steady_clock::now();
    ::kill(leader, c.end);
    CAF_REQUIRE(r.seen->ended());
    CAF_CHECK(std::chrono::steady_clock::now() - t < 2s); // at once: who calls it waits for nobody
    CAF_CHECK_EQUAL(r.seen->exits[0].status, c.status);
    CAF_CHECK_EQUAL(r.seen->exits[0].error, "");
    CAF_CHECK_EQUAL(r.child->pid(), 0);
    CAF_CHECK(!r.child->write("too late\n"));
    if (alive(server)) // whose group has a number that nobody else may get
      CAF_CHECK_EQUAL(::kill(leader, 0), 0);
    CAF_CHECK(file.holds("saved", 6s));
    CAF_CHECK(gone(server, 6s));
    CAF_CHECK(std::chrono::steady_clock::now() - t < c.limit + 2s);
    CAF_CHECK(log.text().find("it ended and left others of its group behind") != std::string::npos);
    CAF_CHECK_EQUAL(r.seen->lines, std::vector<std::string>{"up " + std::to_string(server)});
    CAF_CHECK_EQUAL(r.seen->exits.size(), 1u);
    CAF_CHECK_EQUAL(r.seen->silences + r.seen->deafs, 0);
  }
}

CAF_TEST(what a wrapper left behind and is deaf has no more than the ladder) {
  temp_file log;
  run r{wrapper("trap : TERM; echo up $$; while :; do sleep 0.1; done"), {}, log.path};
  auto server = number_after(*r.seen, "up ");
  auto leader = r.child->pid();
  ::kill(leader, SIGUSR1);
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK(server > 0 && gone(server, 6s));
  CAF_CHECK(log.holds("what it left behind was ended by SIGKILL", 2s));
  auto end = std::chrono::steady_clock::now() + 5s; // nothing is left of it, no zombie either
  while (::kill(leader, 0) == 0 && std::chrono::steady_clock::now() < end)
    ::usleep(5'000);
  CAF_CHECK_EQUAL(::kill(leader, 0), -1);
}

CAF_TEST(the end of the process waits for what a wrapper left behind) {
  temp_file file;
  auto r = helper("left", file.path);
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK_EQUAL(r.seen->exits[0].status, 0);
  CAF_CHECK_EQUAL(file.text(), "saved\n");
}

CAF_TEST(kill minus nine of the parent leaves nothing of what a wrapper left behind) {
  auto r = helper("left victim");
  auto deaf = number_after(*r.seen, "deaf ");
  CAF_REQUIRE(deaf > 0);
  CAF_CHECK(alive(deaf));
  ::kill(r.child->pid(), SIGKILL);
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK(gone(deaf, 6s));
}

CAF_TEST(a child that closes its input and leaves something unread is noticed at once) {
  auto deaf = [](run& r) { return r.seen->wait([&] { return r.seen->deafs > 0; }, 5s); };
  temp_file go;
  // closed before it is written to, and after
  run before{{"sh", "-c", "exec 0<&-; echo up; exec sleep 600"}};
  run after{{"sh", "-c", "echo up; while [ ! -e $FILE ]; do sleep 0.05; done; exec 0<&-; exec sleep 600"}, {{"FILE", go.path}}};
  for (auto* r : {&before, &after}) {
    CAF_REQUIRE(r->seen->wait([&] { return !r->seen->lines.empty(); }));
    CAF_CHECK(r->child->write("x\n"));
    std::ofstream{go.path} << "go";
    CAF_CHECK(deaf(*r));
    CAF_CHECK(r->seen->exits.empty() && r->child->pid() > 0);
    CAF_CHECK(!r->child->write("x\n"));
    r->child->kill();
    CAF_REQUIRE(r->seen->ended());
    CAF_CHECK_EQUAL(r->seen->deafs, 1);
  }
  // one that read all may still answer; what is written then is lost
  run answers{{"sh", "-c", "read line; exec 0<&-; sleep 0.5; echo $line; exec sleep 600"}};
  CAF_CHECK(answers.child->write("42\n"));
  CAF_REQUIRE(answers.seen->wait([&] { return !answers.seen->lines.empty(); }));
  CAF_CHECK_EQUAL(answers.seen->deafs, 0);
  CAF_CHECK(answers.child->write("x\n"));
  CAF_CHECK(deaf(answers));
  answers.child->kill();
  run ends{{"sh", "-c", "echo up; read line"}}; // one that just ends is not deaf
  CAF_CHECK(ends.child->write("x\ny\n"));
  CAF_REQUIRE(ends.seen->ended());
  CAF_CHECK_EQUAL(ends.seen->deafs, 0);
}

CAF_TEST(kill minus nine of the parent leaves nothing of the groups and lets them save their state) {
  auto file = fs::temp_directory_path() / ("conclave-saved-" + std::to_string(::getpid()));
  fs::remove(file);
  auto r = helper("victim", file.string());
  auto deaf = number_after(*r.seen, "deaf ");
  CAF_REQUIRE(deaf > 0);
  CAF_CHECK(alive(deaf));
  ::kill(r.child->pid(), SIGKILL);
  CAF_REQUIRE(r.seen->ended());
  CAF_CHECK(gone(deaf, 6s));
  CAF_CHECK(fs::exists(file));
  fs::remove(file);
}

CAF_TEST(a reaper that was killed is replaced with the next child) {
  run a{{"cat"}};
  CAF_CHECK(a.child->write("x\n"));
  CAF_REQUIRE(a.seen->wait([&] { return !a.seen->lines.empty(); }));
  auto first = reapers();
  CAF_REQUIRE_EQUAL(first.size(), 1u);
  ::kill(*first.begin(), SIGKILL);
  CAF_CHECK(gone(*first.begin(), 5s));
  run b{{"cat"}};
  CAF_CHECK(b.child->write("x\n"));
  CAF_REQUIRE(b.seen->wait([&] { return !b.seen->lines.empty(); }));
  auto second = reapers();
  CAF_CHECK_EQUAL(second.size(), 1u);
  CAF_CHECK(second != first);
  a.child->close();
  b.child->close();
  CAF_CHECK(a.seen->ended());
  CAF_CHECK(b.seen->ended());
}

CAF_TEST(children change no signal handler and see no descriptor of ours) {
  auto before = status_line("SigCgt");
  auto low = ::dup(1); // without close-on-exec, below and above what the start of a child opens
  auto high = ::fcntl(1, F_DUPFD, 200);
  run r{{"sh", "-c", "echo /proc/self/fd/*; grep SigBlk /proc/self/status"}};
  CAF_REQUIRE(r.seen->ended());
  ::close(low);
  ::close(high);
  CAF_REQUIRE_EQUAL(r.seen->lines.size(), 2u);
  // The shell itself holds the folder while it lists it.
  CAF_CHECK_EQUAL(r.seen->lines[0], "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3");
  CAF_CHECK_EQUAL(r.seen->lines[1], "SigBlk:\t0000000000000000");
  CAF_CHECK_EQUAL(status_line("SigCgt"), before);
}

CAF_TEST(a fork of the host may end at once) {
  run r{{"cat"}};
  CAF_CHECK(r.child->write("x\n"));
  CAF_REQUIRE(r.seen->wait([&] { return !r.seen->lines.empty(); }));
  auto t = std::chrono::steady_clock::now();
  auto pid = ::fork();
  if (pid == 0) {
    child_process::end_all();
    ::_exit(7);
  }
  int status = 0;
  CAF_REQUIRE_EQUAL(::waitpid(pid, &status, 0), pid);
  CAF_CHECK_EQUAL(WEXITSTATUS(status), 7);
  CAF_CHECK(std::chrono::steady_clock::now() - t < 2s);
  r.child->close();
  CAF_CHECK(r.seen->ended());
}

CAF_TEST(a fork of the host is told that it can start no children) {
  run r{{"cat"}}; // the thread of all children is there, and is none of the fork
  CAF_CHECK(r.child->write("x\n"));
  CAF_REQUIRE(r.seen->wait([&] { return !r.seen->lines.empty(); }));
  auto pid = ::fork();
  if (pid == 0) {
    run other{{"cat"}};
    ::_exit(!other.child && other.seen->exits.size() == 1 && !other.seen->exits[0].started ? 7 : 8);
  }
  int status = 0;
  CAF_REQUIRE_EQUAL(::waitpid(pid, &status, 0), pid);
  CAF_CHECK_EQUAL(WEXITSTATUS(status), 7);
  r.child->close();
  CAF_CHECK(r.seen->ended());
}
