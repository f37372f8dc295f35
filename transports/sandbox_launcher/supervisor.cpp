// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_launcher/supervisor.hpp"

#include "transports/sandbox_launcher/descendants.hpp"
#include "transports/sandbox_launcher/system.hpp"

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

namespace conclave::launcher {

namespace {

/// Several run in the background at once, and their output is asked for in pieces: each keeps this part of the bound.
constexpr std::int64_t background_share = 4;
constexpr std::size_t max_commands = 16, max_command = 100u << 10;
constexpr const char* lost = "a file that is protected or hidden was replaced, or the first process of the sandbox was killed: all "
                             "that ran was ended, and the next command starts anew";
constexpr std::int64_t watch_ms = 100, files_watch_ms = 500, patience_ms = 3000;

void say(const sandbox_line& line) {
  auto text = line.text();
  for (std::size_t at = 0; at < text.size();) {
    auto n = ::write(1, text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR)
      ::_exit(0); // the engine is gone
    at += n < 0 ? 0 : static_cast<std::size_t>(n);
  }
}

} // namespace

std::string supervisor::start(order& o, command& c) {
  int out[2], err[2], status[2], life[2];
  if (::pipe2(static_cast<int*>(out), O_CLOEXEC) != 0 || ::pipe2(static_cast<int*>(err), O_CLOEXEC) != 0
      || ::pipe2(static_cast<int*>(status), O_CLOEXEC) != 0 || ::pipe2(static_cast<int*>(life), O_CLOEXEC) != 0)
    return fault("no pipes"); // and soon no launcher: it ends with the line
  c.out_fd = out[0];
  c.err_fd = err[0];
  c.status_fd = status[0];
  c.life_fd = life[1];
  if (o.out < 0)
    o.out = out[1];
  if (o.err < 0)
    o.err = err[1];
  o.status = status[1];
  o.life = life[0];
  o.groups = group_.entries();
  for (auto fd : {c.out_fd, c.err_fd, c.status_fd})
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string why;
  auto begin = [&c] { return ::write(c.life_fd, "b", 1) == 1 ? std::string{} : fault("cannot begin"); };
  if (!group_.takes_in())
    why = begin(); // it need not wait for us
  if (profile_.tier == 2 && why.empty()) {
    auto sent = send_order(holder_, o);
    if (building_)
      why = await_walls(&o);
    if (why.empty())
      c.pidfd = sent ? receive_warden(holder_) : -1;
    if (why.empty() && c.pidfd < 0)
      why = "the first process of the sandbox does not answer";
  } else if (why.empty()) {
    c.pid = ::fork();
    if (c.pid == 0)
      run_warden(profile_, o);
    c.pidfd = c.pid < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, c.pid, 0));
    if (c.pid < 0)
      why = fault("cannot fork");
  }
  for (auto fd : {out[1], err[1], status[1], life[0]})
    ::close(fd);
  if (why.empty() && group_.takes_in())
    if (why = group_.take_in(pid_of(c)); why.empty())
      why = begin();
  c.began_ms = now_ms();
  return why;
}

void supervisor::refuse(const std::string& id, const std::string& why) {
  say(sandbox_line("ended").add("id", id).add("reason", "failed").add("why", why));
}

/// Begins to make what the commands of the profile share. The groups are made while the holder makes the rest.
std::string supervisor::begin_walls() {
  std::string why;
  if (profile_.tier == 2)
    holder_ = start_holder(profile_, why);
  else
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (profile_.tier > 0 && why.empty())
    group_.make(profile_.processes, profile_.memory);
  building_ = holder_ >= 0;
  return why;
}

/// Until the holder has made it. `sent`: an order that it has been given already.
std::string supervisor::await_walls(const order* sent) {
  building_ = false;
  auto why = await_holder(holder_);
  for (int again = 0; again < 5 && why.ends_with(std::strerror(ENOENT)); ++again) { // a file may be just being replaced
    timespec moment{0, 2'000'000};
    ::nanosleep(&moment, nullptr);
    close_at(holder_);
    holder_ = start_holder(profile_, why);
    if (holder_ >= 0 && sent != nullptr)
      send_order(holder_, *sent); // where that fails, the holder has told why
    if (holder_ >= 0)
      why = await_holder(holder_);
  }
  if (serves_)
    tell_ready(why);
  return why;
}

void supervisor::tell_ready(const std::string& why) {
  sandbox_line answer(why.empty() ? "ready" : "failed");
  if (why.empty()) {
    answer.add("landlock", landlock_abi()).add("memory", group_.limits_memory() ? "cgroup" : "watched");
    answer.add("processes", group_.limits_processes() ? "cgroup" : profile_.tier == 2 ? "pid_max" : "watched");
  } else {
    answer.add("why", why);
    over_ = true;
  }
  ready_ = why.empty();
  say(answer);
}

void supervisor::on_profile(const sandbox_line& line) {
  auto why = ready_ ? std::string("a second profile") : read_profile(line, profile_);
  if (why.empty() && profile_.tier == 1 && landlock_abi() < 1)
    why = "the kernel has no Landlock";
  if (why.empty())
    why = begin_walls();
  if (!building_)
    return tell_ready(why);
  ready_ = true; // for a command that came along: its order is there by the time the walls are
}

void supervisor::on_run(const sandbox_line& line) {
  const auto& id = line.get("id");
  order o;
  o.cwd = line.get("cwd");
  o.command = line.get("command");
  o.env = line.all("env");
  auto timeout = line.number("timeout_ms");
  bool background = line.number("background") == 1;
  auto c = std::make_unique<command>(static_cast<std::size_t>(background ? profile_.output / background_share : profile_.output));
  c->id = id;
  c->background = background;
  if (o.command.size() > max_command || o.command.find('\0') != std::string::npos)
    return refuse(id, "a command has at most " + std::to_string(max_command) + " bytes, and no NUL");
  if (commands_.size() >= max_commands)
    return refuse(id, "too many commands are under way");
  o.cpu_s = c->background ? 0 : std::max<std::int64_t>(1, 2 * timeout / 1000);
  auto why = start(o, *c);
  c->deadline_ms = timeout > 0 ? c->began_ms + timeout : 0;
  if (!why.empty()) {
    if (c->pidfd >= 0)
      ::syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, nullptr, 0);
    for (auto* fd : {&c->out_fd, &c->err_fd, &c->status_fd, &c->life_fd, &c->pidfd})
      close_at(*fd);
    return over_ ? void() : refuse(id, why); // there are no walls, and that has been told
  }
  if (c->background)
    say(sandbox_line("started").add("id", id));
  if (commands_.empty())
    watched_ms_ = files_ms_ = c->began_ms;
  commands_.push_back(std::move(c));
}

void supervisor::on_read(const sandbox_line& line) {
  for (auto& c : commands_)
    if (c->id == line.get("id")) {
      drain(c->out_fd, c->out, 4u << 20);
      drain(c->err_fd, c->err, 4u << 20);
      sandbox_line answer("output");
      answer.add("id", c->id).add("running", "1");
      add_output(answer, *c);
      return say(answer);
    }
  say(sandbox_line("output").add("id", line.get("id")).add("running", "0"));
}

void supervisor::on_line(std::string_view text) {
  sandbox_line line;
  if (!sandbox_line::read(text, line) || (!ready_ && line.word != "profile")) {
    say(sandbox_line("failed").add("why", "not a line of this version"));
    over_ = true;
  } else if (line.word == "profile") {
    on_profile(line);
  } else if (line.word == "run") {
    on_run(line);
  } else if (line.word == "read") {
    on_read(line);
  } else if (line.word == "kill") {
    for (auto& c : commands_)
      if (c->id == line.get("id"))
        end(*c, "killed");
  }
}

bool supervisor::read_lines() {
  static char buffer[64 << 10];
  auto n = ::read(0, static_cast<char*>(buffer), sizeof buffer);
  if (n < 0 && errno == EINTR)
    return true;
  if (n <= 0)
    return false;
  unread_.append(static_cast<const char*>(buffer), static_cast<std::size_t>(n));
  std::size_t at = 0;
  for (std::size_t lf; (lf = unread_.find('\n', at)) != std::string::npos && !over_; at = lf + 1)
    on_line(std::string_view{unread_}.substr(at, lf - at));
  unread_.erase(0, at);
  if (building_)
    await_walls(nullptr);
  return unread_.size() <= max_line;
}

void supervisor::end(command& c, const std::string& reason) {
  if (!c.reason.empty())
    return;
  c.reason = reason;
  c.ended_ms = now_ms();
  kill_command(c, profile_.tier);
}

/// Its warden has ended, and with it all that the command was.
void supervisor::finish(command& c) {
  int status = 0;
  if (profile_.tier < 2 && ::waitpid(c.pid, &status, 0) == c.pid && WIFSIGNALED(status)) { // somebody else ended it: who is left?
    std::vector<int> others;
    for (auto pid : {group_.sweeper(), looker_.pid()})
      if (pid > 0)
        others.push_back(pid);
    for (auto& other : commands_)
      if (other.get() != &c)
        others.push_back(other->pid);
    end_descendants(others);
  }
  drain(c.out_fd, c.out, 4u << 20); // at most what its pipe holds and a little more
  drain(c.err_fd, c.err, 4u << 20);
  if (::read(c.status_fd, &c.last, sizeof c.last) != sizeof c.last)
    c.last = {};
  auto reason = c.reason;
  if (group_.ran_out_of_memory() && (reason.empty() || c.last.what == 0))
    reason = "memory";
  sandbox_line line("ended");
  line.add("id", c.id).add("ms", now_ms() - c.began_ms);
  if (!reason.empty())
    line.add("reason", reason).add("status", c.last.what == 's' ? c.last.status : 137);
  else if (c.last.what == 's')
    line.add("reason", "exit").add("status", c.last.status);
  else
    line.add("reason", "failed")
        .add("why", c.last.what == 'e' ? static_cast<const char*>(c.last.text) : "it was killed from outside");
  add_output(line, c);
  for (auto* fd : {&c.out_fd, &c.err_fd, &c.status_fd, &c.life_fd, &c.pidfd})
    close_at(*fd);
  say(line);
}

/// What is to be seen of a command; nothing where the kernel counts all of it.
look supervisor::look_at(command& c, bool files) const {
  look l;
  l.count = !group_.limits_memory() || (!group_.limits_processes() && profile_.tier < 2);
  l.files = files;
  if (profile_.tier == 0 || (!l.count && !l.files))
    return {};
  l.pid = pid_of(c);
  return l;
}

/// Which limit a command is over that the kernel does not hold for us; null = none.
const char* supervisor::over(command& c, const look& l) const {
  if (l.files)
    c.held = l.held;
  if (l.count && !group_.limits_memory() && l.used.memory + c.held.memory > profile_.memory)
    return "memory";
  if (l.count && !group_.limits_processes() && profile_.tier < 2 && l.used.processes > profile_.processes)
    return "processes";
  return c.held.disk > profile_.file_size ? "disk" : nullptr;
}

void supervisor::watch() {
  auto now = now_ms();
  for (auto& c : commands_) {
    if (c->deadline_ms > 0 && now >= c->deadline_ms)
      end(*c, "timeout");
    if (!c->reason.empty() && now - c->ended_ms > patience_ms)
      ::syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, nullptr, 0);
  }
  if (now - watched_ms_ < watch_ms || looker_.awaited() >= 0)
    return;
  bool files = now - files_ms_ >= files_watch_ms;
  watched_ms_ = now;
  if (files)
    files_ms_ = now;
  std::vector<look> wanted;
  for (auto& c : commands_)
    if (auto l = c->reason.empty() ? look_at(*c, files) : look{}; l.pid > 0)
      wanted.push_back(l);
  looker_.ask(wanted, profile_.memory);
}

void supervisor::on_looks() {
  for (const auto& l : looker_.take())
    for (auto& c : commands_)
      if (c->pid == l.pid && c->reason.empty())
        if (const auto* what = over(*c, l))
          end(*c, what);
}

void supervisor::step(int wait_ms) {
  std::vector<pollfd> on{{over_ ? -1 : 0, POLLIN, 0}, {holder_, POLLRDHUP, 0}, {looker_.awaited(), POLLIN, 0}};
  for (auto& c : commands_)
    // At tier 2 the last word is behind the end of all that the command was, and the kernel still takes the warden's mounts apart.
    for (auto fd : {c->pidfd, c->out_fd, c->err_fd, profile_.tier == 2 ? c->status_fd : -1})
      on.push_back({fd, POLLIN, 0});
  if (::poll(on.data(), on.size(), wait_ms) < 0 && errno != EINTR)
    ::_exit(2);
  if (on[1].revents != 0) { // with it the kernel ended all that ran. Whoever waits is told by our end and can start anew then.
    say(sandbox_line("failed").add("why", lost));
    ::_exit(1);
  }
  auto n = commands_.size();
  for (std::size_t i = 0; i < n; ++i) {
    auto& c = *commands_[i];
    const auto* of = &on[3 + 4 * i];
    if (of[1].revents)
      drain(c.out_fd, c.out, 256u << 10);
    if (of[2].revents)
      drain(c.err_fd, c.err, 256u << 10);
    if ((of[0].revents | of[3].revents) & POLLIN)
      finish(c);
    else if (of[3].revents)
      close_at(c.status_fd); // no last word: the end itself is what is left to wait for
  }
  std::erase_if(commands_, [](const auto& c) { return c->pidfd < 0; });
  if (on[0].revents && !over_ && !read_lines())
    over_ = true;
  if (on[2].revents)
    on_looks();
  watch();
}

int supervisor::run() {
  serves_ = true;
  while (!over_) {
    auto wait = commands_.empty() ? -1 : static_cast<int>(watch_ms);
    for (auto& c : commands_)
      if (c->deadline_ms > 0 && c->reason.empty())
        wait = std::max(0, std::min(wait, static_cast<int>(c->deadline_ms - now_ms())));
    step(wait);
  }
  for (auto& c : commands_)
    end(*c, "killed");
  while (!commands_.empty())
    step(static_cast<int>(watch_ms));
  close_at(holder_);
  return ready_ ? 0 : 1;
}

} // namespace conclave::launcher
