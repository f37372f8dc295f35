// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_self_test.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t all_probes = 9;
constexpr std::int64_t patience_ms = 20'000;

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (auto c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// One test from its folder to its end.
struct trial {
  fs::path folder;
  sandbox_report report;
  std::shared_ptr<sandbox> box;
  std::function<void(sandbox_report)> done;
};

bool write_file(const fs::path& path, const std::string& text) {
  std::ofstream f(path);
  f << text << std::flush;
  return f.good();
}

std::string read_file(const fs::path& path) {
  std::ifstream f(path);
  std::stringstream s;
  s << f.rdbuf();
  return s.str();
}

void judge(trial& t, const command_end& e) {
  std::istringstream lines(e.out.text);
  std::string name, verdict;
  bool works = false;
  while (lines >> name >> verdict)
    if (name == "granted")
      works = verdict == "works";
    else
      t.report.probes.push_back({name, verdict == "held"});
  std::string open;
  for (const auto& p : t.report.probes)
    if (!p.held)
      open += (open.empty() ? "" : ", ") + p.name;
  t.report.tried = e.why != command_end::reason::timed_out;
  if (e.why != command_end::reason::exited)
    t.report.why = e.error.empty() ? "the test did not end in time" : e.error;
  else if (t.report.probes.size() != all_probes)
    t.report.why = "the test did not run: " + e.err.text.substr(0, 200);
  else if (!open.empty())
    t.report.why = "not held: " + open;
  else if (!works || read_file(t.folder / "work" / "made") != "made\n")
    t.report.why = "what is granted cannot be used";
  else if (read_file(t.folder / "read" / "file") != "kept")
    t.report.why = "a file that is read-only was changed";
  t.report.passed = t.report.why.empty();
}

void finish(const std::shared_ptr<trial>& t) {
  std::error_code ignored;
  struct stat s {};
  // Within a user namespace root is not above the modes of others' folders.
  if (auto home = t->folder.parent_path(); !t->report.passed && ::stat(home.c_str(), &s) == 0 && s.st_uid != ::geteuid())
    t->report.why += "; " + home.string() + " belongs to another user: set CONCLAVE_HOME to a folder of your own";
  fs::remove_all(t->folder, ignored);
  t->box.reset();
  auto done = std::move(t->done);
  done(std::move(t->report));
}

std::string remedy(const std::vector<sandbox_report>& reports) {
  std::string text;
  for (const auto& r : reports)
    text += "; " + to_string(r.tier) + ": " + r.why;
  return text
         + ". Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces=15000, "
           "kernel.apparmor_restrict_unprivileged_userns=0), use a kernel with Landlock (5.13 or newer), or say sandbox.mode: off, "
           "which lets commands do whatever you may";
}

} // namespace

void test_sandbox(std::shared_ptr<outside> world, std::string launcher, sandbox_tier tier, std::string folder,
                  std::function<void(sandbox_report)> done) {
  auto t = std::make_shared<trial>();
  t->report.tier = tier;
  t->done = std::move(done);
  std::error_code e;
  t->folder = fs::weakly_canonical(folder, e);
  auto path = [&](const char* name) { return t->folder / name; };
  bool made = !e && fs::create_directory(t->folder, e);
  for (const auto* name : {"work", "read", "outside"})
    made = made && fs::create_directory(path(name), e);
  if (!made || !write_file(path("read") / "file", "kept") || !write_file(path("outside") / "file", "secret")) {
    t->report.why = "no files can be made in " + t->folder.string();
    t->report.tried = false;
    if (!made) { // it may be another's
      done = std::move(t->done);
      return done(std::move(t->report));
    }
    return finish(t);
  }
  sandbox_profile p;
  p.tier = tier;
  p.readable = {path("read").string()};
  p.writable = {path("work").string()};
  p.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
  auto real = fs::canonical(launcher, e);
  if (!e)
    p.readable.push_back(real.string());
  t->box = sandbox::open(std::move(world), p, launcher);
  auto net = fs::read_symlink("/proc/self/ns/net", e);
  sandbox_command c;
  c.work_dir = path("work").string();
  c.timeout_ms = patience_ms;
  c.command = "echo made > made && cat " + quoted((path("read") / "file").string()) + " > /dev/null && echo granted works; exec "
              + quoted(real.string()) + " probe " + quoted((path("outside") / "file").string()) + " "
              + quoted((path("read") / "file").string()) + " " + quoted(net.string()) + " " + std::to_string(::getpid());
  t->box->run(std::move(c), [t](command_end end) {
    t->report.traits = t->box->traits();
    judge(*t, end);
    finish(t);
  });
}

sandbox_choice choice_of(sandbox_mode mode, std::vector<sandbox_report> reports) {
  sandbox_choice c;
  for (const auto& r : reports)
    if (r.passed && !c.usable) {
      c.usable = true;
      c.tier = r.tier;
    }
  if (mode == sandbox_mode::off) {
    c.usable = true;
    c.error = "the sandbox is off: commands of agents can do whatever you may";
  } else if (auto at = std::find_if(reports.begin(), reports.end(), [](auto& r) { return !r.tried; });
             !c.usable && at != reports.end()) {
    c.error = "whether a sandbox holds here could not be found out (" + to_string(at->tier) + ": " + at->why + "); try again";
  } else if (!c.usable && mode == sandbox_mode::automatic) {
    c.usable = true;
    c.error = "no sandbox holds here, so commands of agents can do whatever you may" + remedy(reports);
  } else if (!c.usable) {
    c.error = "no sandbox holds here, so agents get no commands" + remedy(reports);
  }
  c.reports = std::move(reports);
  return c;
}

void choose_sandbox(std::shared_ptr<outside> world, std::string launcher, sandbox_mode mode, std::string folder,
                    std::function<void(sandbox_choice)> done) {
  if (launcher.empty()) // it runs commands without a sandbox, too
    return done({false, sandbox_tier::off, {}, "agents get no commands: " + no_sandbox_launcher()});
  if (mode == sandbox_mode::off)
    return done(choice_of(mode, {}));
  test_sandbox(world, launcher, sandbox_tier::namespaces, folder, [=](sandbox_report first) {
    if (first.passed || !first.tried)
      return done(choice_of(mode, {first}));
    test_sandbox(world, launcher, sandbox_tier::landlock, folder, [=](sandbox_report second) {
      done(choice_of(mode, {first, second}));
    });
  });
}

} // namespace conclave
