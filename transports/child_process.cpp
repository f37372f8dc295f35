// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_process.hpp"

#include "transports/child_spawn.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t max_queue = 32u << 20;
constexpr std::size_t read_size = 64u << 10;
constexpr std::size_t max_drain = 4u << 20; ///< read after the end: at most what a pipe can hold, so a grandchild cannot keep us
constexpr auto patience = 2s;

/// One child from start to exit. Shared by the handle and the reactor's watches; members without a lock belong to the reactor
/// thread.
class child : public std::enable_shared_from_this<child> {
public:
  child(child_options o, child_process::callbacks cb, child_reactor* r) : options_(std::move(o)), cb_(std::move(cb)), reactor_(r) {}

  // -- any thread
  bool write(std::string bytes);
  void kill_now();
  int pid();
  std::string last_words();

  // -- reactor thread
  void start();
  void close();
  void fail(std::string why);
  void log(std::string_view bytes);

private:
  void signal_group(int sig, const char* why);
  void flush();
  void close_stdin();
  void on_stdout(std::size_t budget);
  void on_stderr(std::size_t budget);
  bool take(std::string_view bytes);
  void remember(std::string_view bytes);
  void on_end();
  void finish(child_exit result);

  child_options options_;
  child_process::callbacks cb_;
  child_reactor* reactor_;
  spawned_child os_;
  child_log log_;
  std::uint64_t in_watch_ = 0, out_watch_ = 0, err_watch_ = 0, end_watch_ = 0;
  std::string partial_; ///< of stdout, no LF inside
  std::string why_;     ///< why it was ended
  std::deque<std::string> out_queue_;
  std::size_t written_ = 0; ///< of the first in out_queue_
  bool closing_ = false, finished_ = false;

  std::mutex mutex_; ///< guards what is below
  std::vector<std::string> inbox_;
  std::size_t queued_ = 0;
  bool stdin_open_ = true;
  bool doomed_ = false; ///< kill() came
  std::string last_words_;
  int pid_ = 0; ///< 0 before the start and from the moment of reaping, so a signal never meets a reused number
};

bool child::write(std::string bytes) {
  bool first;
  {
    std::lock_guard lock{mutex_};
    if (!stdin_open_ || doomed_ || bytes.size() > max_queue - queued_)
      return false;
    first = inbox_.empty();
    queued_ += bytes.size();
    inbox_.push_back(std::move(bytes));
  }
  if (first)
    reactor_->post([self = shared_from_this()] { self->flush(); });
  return true;
}

void child::kill_now() {
  std::lock_guard lock{mutex_};
  doomed_ = true;
  if (pid_ > 0)
    ::kill(-pid_, SIGKILL);
}

int child::pid() {
  std::lock_guard lock{mutex_};
  return pid_;
}

std::string child::last_words() {
  std::lock_guard lock{mutex_};
  return last_words_;
}

void child::start() {
  std::string refused;
  {
    std::lock_guard lock{mutex_};
    if (doomed_)
      refused = "ended before it started";
  }
  if (refused.empty()) {
    os_ = spawn_child(options_);
    refused = os_.error;
  }
  if (os_.pid == 0)
    return finish({false, 0, std::move(refused)});
  if (!options_.stderr_path.empty())
    log_.open(options_.stderr_path, options_.clean_log);
  auto self = shared_from_this();
  out_watch_ = reactor_->watch(os_.out.get(), EPOLLIN, [self](std::uint32_t) { self->on_stdout(read_size); });
  end_watch_ = reactor_->watch(os_.pidfd.get(), EPOLLIN, [self](std::uint32_t) { self->on_end(); });
  if (os_.err)
    err_watch_ = reactor_->watch(os_.err.get(), EPOLLIN, [self](std::uint32_t) { self->on_stderr(read_size); });
  if (out_watch_ == 0 || end_watch_ == 0 || (os_.err && err_watch_ == 0)) {
    ::kill(-os_.pid, SIGKILL);
    why_ = "cannot watch the program: out of memory or of epoll watches";
    on_end(); // blocks for no longer than the kernel needs to end it
    return;
  }
  {
    std::lock_guard lock{mutex_};
    pid_ = os_.pid;
    if (doomed_)
      ::kill(-pid_, SIGKILL);
  }
  flush();
}

void child::close() {
  if (closing_ || finished_)
    return;
  closing_ = true;
  {
    std::lock_guard lock{mutex_};
    stdin_open_ = false;
  }
  flush(); // what was accepted is still delivered if the child reads it in time
  std::weak_ptr<child> weak = shared_from_this();
  reactor_->after(patience, [weak] {
    if (auto self = weak.lock(); self && !self->finished_) {
      self->close_stdin();
      self->signal_group(SIGTERM, "ended by SIGTERM: it did not end when its input did");
    }
  });
  reactor_->after(2 * patience, [weak] {
    if (auto self = weak.lock(); self && !self->finished_)
      self->signal_group(SIGKILL, "ended by SIGKILL: it ignored the end of its input and SIGTERM");
  });
}

void child::fail(std::string why) {
  if (finished_)
    return;
  if (why_.empty())
    why_ = std::move(why);
  signal_group(SIGKILL, "");
}

void child::signal_group(int sig, const char* why) {
  std::lock_guard lock{mutex_};
  if (*why)
    why_ = why;
  if (pid_ > 0)
    ::kill(-pid_, sig);
}

void child::flush() {
  if (!os_.in)
    return;
  {
    std::lock_guard lock{mutex_};
    std::move(inbox_.begin(), inbox_.end(), std::back_inserter(out_queue_));
    inbox_.clear();
  }
  bool full = false;
  while (!out_queue_.empty() && !full) {
    auto& front = out_queue_.front();
    auto n = ::write(os_.in.get(), front.data() + written_, front.size() - written_);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno != EAGAIN)
      return close_stdin(); // EPIPE: it closed its input, which alone is no reason to end it
    if (n < 0) {
      full = true;
      break;
    }
    written_ += static_cast<std::size_t>(n);
    if (written_ < front.size())
      continue;
    {
      std::lock_guard lock{mutex_};
      queued_ -= front.size();
    }
    written_ = 0;
    out_queue_.pop_front();
  }
  if (full && in_watch_ == 0) {
    in_watch_ = reactor_->watch(os_.in.get(), EPOLLOUT, [self = shared_from_this()](std::uint32_t) { self->flush(); });
    if (in_watch_ == 0)
      fail("cannot watch the program's input");
  } else if (!full) {
    reactor_->unwatch(std::exchange(in_watch_, 0));
    if (closing_)
      close_stdin();
  }
}

void child::close_stdin() {
  reactor_->unwatch(std::exchange(in_watch_, 0));
  os_.in.reset();
  out_queue_.clear();
  std::lock_guard lock{mutex_};
  stdin_open_ = false;
  inbox_.clear();
  queued_ = 0;
}

// Cuts bytes into lines and hands them on. Returns false if a line was too long.
bool child::take(std::string_view bytes) {
  std::vector<std::string> lines;
  bool ok = true;
  while (ok && !bytes.empty()) {
    auto lf = bytes.find('\n'); // partial_ holds none, so each byte is looked at once
    auto part = bytes.substr(0, lf);
    ok = part.size() <= options_.max_line && partial_.size() <= options_.max_line - part.size();
    if (!ok)
      break;
    partial_.append(part);
    if (lf == std::string_view::npos)
      break;
    lines.push_back(std::exchange(partial_, {}));
    bytes.remove_prefix(lf + 1);
  }
  if (!lines.empty() && cb_.on_lines)
    cb_.on_lines(std::move(lines));
  return ok;
}

void child::on_stdout(std::size_t budget) {
  static std::array<char, read_size> buffer; // reactor thread only
  while (os_.out && budget > 0) {
    auto n = ::read(os_.out.get(), buffer.data(), std::min(budget, buffer.size()));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0 || !take({buffer.data(), static_cast<std::size_t>(n)})) {
      if (n > 0) { // kill first: a closed pipe would end it by SIGPIPE before
        partial_.clear();
        fail("it wrote a line of more than " + std::to_string(options_.max_line) + " bytes");
      }
      reactor_->unwatch(std::exchange(out_watch_, 0));
      os_.out.reset();
      return;
    }
    budget -= static_cast<std::size_t>(n);
  }
}

void child::on_stderr(std::size_t budget) {
  static std::array<char, read_size> buffer; // reactor thread only
  while (os_.err && budget > 0) {
    auto n = ::read(os_.err.get(), buffer.data(), std::min(budget, buffer.size()));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return;
    if (n <= 0) {
      reactor_->unwatch(std::exchange(err_watch_, 0));
      os_.err.reset();
      return;
    }
    log({buffer.data(), static_cast<std::size_t>(n)});
    remember({buffer.data(), static_cast<std::size_t>(n)});
    budget -= static_cast<std::size_t>(n);
  }
}

// What exceeds the cap of the file is read and dropped, so a talkative child never blocks.
void child::log(std::string_view bytes) {
  log_.add(bytes);
}

void child::remember(std::string_view bytes) {
  std::lock_guard lock{mutex_};
  last_words_.append(bytes.substr(bytes.size() - std::min(bytes.size(), child_process::max_last_words)));
  last_words_.erase(0, last_words_.size() - std::min(last_words_.size(), child_process::max_last_words));
}

void child::on_end() {
  // The child is a zombie until it is reaped, so its number is still its own: what is left of its group goes with it.
  ::kill(-os_.pid, SIGKILL);
  on_stdout(max_drain);
  on_stderr(max_drain);
  spawn_failure failure;
  bool failed = ::read(os_.failure.get(), &failure, sizeof failure) == static_cast<ssize_t>(sizeof failure);
  siginfo_t info{};
  int rc;
  bool killed;
  {
    std::lock_guard lock{mutex_};
    pid_ = 0;
    killed = doomed_;
  }
  do
    rc = ::waitid(P_PID, static_cast<id_t>(os_.pid), &info, WEXITED);
  while (rc != 0 && errno == EINTR);
  if (failed) {
    auto what = failure.stage == 1 ? "no working directory '" + options_.cwd + "': " : "cannot run '" + options_.argv[0] + "': ";
    return finish({false, 0, what + ::strerror(failure.code)});
  }
  if (!partial_.empty() && cb_.on_lines)
    cb_.on_lines({std::exchange(partial_, {})}); // a last line without LF
  child_exit result{true, info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status, std::move(why_)};
  if (rc != 0) {
    result.status = 0;
    result.error = "its exit status is unknown: the host process ignores SIGCHLD";
  } else if (result.error.empty() && killed && info.si_code != CLD_EXITED) {
    result.error = "killed";
  }
  finish(std::move(result));
}

void child::finish(child_exit result) {
  finished_ = true;
  close_stdin();
  reactor_->unwatch(std::exchange(out_watch_, 0));
  reactor_->unwatch(std::exchange(err_watch_, 0));
  reactor_->unwatch(std::exchange(end_watch_, 0));
  os_ = {};
  log_.close();
  auto cb = std::exchange(cb_, {}); // breaks a cycle if the callbacks hold the handle
  if (cb.on_exit)
    cb.on_exit(std::move(result));
}

/// What the user holds; its end is a close().
class handle final : public child_process {
public:
  handle(std::shared_ptr<child> c, child_reactor* r) : child_(std::move(c)), reactor_(r) {}
  ~handle() override { close(); }
  bool write(std::string bytes) override { return child_ && child_->write(std::move(bytes)); }
  void close() override {
    if (child_)
      reactor_->post([c = child_] { c->close(); });
  }
  void kill() override {
    if (child_)
      child_->kill_now();
  }
  int pid() const override { return child_ ? child_->pid() : 0; }
  std::string last_words() const override { return child_ ? child_->last_words() : std::string{}; }
  void log(std::string line) override {
    if (child_)
      reactor_->post([c = child_, text = std::move(line) + "\n"] { c->log(text); });
  }

private:
  std::shared_ptr<child> child_;
  child_reactor* reactor_;
};

} // namespace

std::shared_ptr<child_process> child_process::start(child_options options, callbacks cb) {
  auto* reactor = child_reactor::get();
  if (!reactor) {
    if (cb.on_exit)
      cb.on_exit(
          {false, 0, "no thread or descriptor for child processes"}); // the one call that is not on the reactor: there is none
    return std::make_shared<handle>(nullptr, nullptr);
  }
  auto c = std::make_shared<child>(std::move(options), std::move(cb), reactor);
  reactor->post([c] { c->start(); });
  return std::make_shared<handle>(std::move(c), reactor);
}

std::map<std::string, std::string> safe_environment() {
  std::map<std::string, std::string> out;
  for (auto* name : {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"})
    if (auto* value = std::getenv(name); value && std::strncmp(value, "()", 2) != 0)
      out.emplace(name, value);
  return out;
}

} // namespace conclave
