// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_process.hpp"

#include "transports/child_launch.hpp"
#include "transports/child_reaper.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <future>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace conclave {

namespace {

using namespace std::chrono_literals;
using boost::system::error_code;
using stream = boost::asio::posix::stream_descriptor;

constexpr std::size_t max_queue = 32u << 20;
constexpr std::size_t read_size = 64u << 10;
constexpr std::size_t max_drain = 4u << 20; ///< read after the end: at most what a pipe can hold, so a grandchild cannot keep us
constexpr auto patience = 2s;
constexpr auto last_moment = 200ms;    ///< from the end of stdout to the end of a child that just ends
constexpr auto ladder_limit = 4'500ms; ///< the ladder and what the machine needs for it
constexpr auto kill_limit = 500ms;

class child;

/// What the reactor thread knows of all children.
struct nursery {
  std::set<std::shared_ptr<child>> living;
  child_reaper reaper;
  bool closed = false; ///< the process ends: no more children
};

nursery& children() {
  static auto* all = new nursery; // never destroyed, like the reactor
  return *all;
}

/// One child from start to exit. Shared by the user and the reactor; members without a lock belong to the reactor thread.
class child final : public child_process, public std::enable_shared_from_this<child> {
public:
  child(child_options o, callbacks cb, child_reactor* r)
      : options_(std::move(o)), cb_(std::move(cb)), reactor_(r), in_(r->io()), out_(r->io()), err_(r->io()), end_(r->io()) {}

  // -- any thread
  bool write(std::string bytes) override;
  void close() override {
    reactor_->post([self = shared_from_this()] { self->shut(); });
  }
  void kill() override;
  int pid() const override;
  std::string last_words() const override;
  void log(std::string line) override {
    reactor_->post([self = shared_from_this(), text = std::move(line) + "\n"] { self->log_.add(text); });
  }

  void consumed(std::size_t weight) override;

  // -- reactor thread
  void run();
  void end(std::shared_ptr<void> token) {
    shut();
    awaited_.push_back(std::move(token));
  }

private:
  void shut();
  void when(stream& s, stream::wait_type what, void (child::*next)());
  void fail(std::string why);
  void signal_group(int sig, const char* why);
  void flush();
  void close_stdin();
  void on_stdout();
  void on_stderr();
  void read(stream& from, std::size_t budget, bool (child::*eat)(std::string_view));
  bool take(std::string_view bytes);
  bool hear(std::string_view bytes);
  void on_end();
  void finish(child_exit result);

  child_options options_;
  callbacks cb_;
  child_reactor* reactor_;
  stream in_, out_, err_, end_;
  child_log log_;
  std::string partial_;               ///< of stdout, no LF inside
  std::string why_;                   ///< why it was ended
  std::deque<std::string> out_queue_; ///< the first is being written
  bool closing_ = false, finished_ = false, writing_ = false;
  std::vector<std::shared_ptr<void>> awaited_; ///< let go of at the end

  mutable std::mutex mutex_; ///< guards what is below
  std::vector<std::string> inbox_;
  std::size_t queued_ = 0;
  bool stdin_open_ = true;
  bool doomed_ = false; ///< kill() came
  std::string last_words_;
  std::size_t waiting_ = 0; ///< weight of the lines handed on and not given back
  bool held_ = false;       ///< stdout is not read until some are
  int pid_ = 0;             ///< 0 before the start and from the moment of reaping, so a signal never meets a reused number
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

void child::kill() {
  std::lock_guard lock{mutex_};
  doomed_ = true;
  if (pid_ > 0)
    ::kill(-pid_, SIGKILL);
}

int child::pid() const {
  std::lock_guard lock{mutex_};
  return pid_;
}

void child::consumed(std::size_t weight) {
  {
    std::lock_guard lock{mutex_};
    waiting_ -= std::min(weight, waiting_);
    if (!held_ || waiting_ > options_.max_waiting / 2)
      return;
    held_ = false;
  }
  reactor_->post([self = shared_from_this()] {
    if (!self->finished_ && self->out_.is_open())
      self->when(self->out_, stream::wait_read, &child::on_stdout);
  });
}

std::string child::last_words() const {
  std::lock_guard lock{mutex_};
  return last_words_;
}

void child::run() {
  launched_child os;
  {
    std::lock_guard lock{mutex_};
    os.error = doomed_ ? "ended before it started" : children().closed ? "the process ends" : "";
  }
  if (os.error.empty())
    os = launch_child(options_, child_bond::dependent);
  if (os.pid == 0)
    return finish({false, 0, std::move(os.error)});
  error_code failed;
  for (auto [s, fd] : {std::pair{&end_, &os.end}, {&in_, &os.in}, {&out_, &os.out}, {&err_, &os.err}})
    if (error_code e; *fd && !s->assign(fd->get(), e)) {
      fd->release();
      s->non_blocking(true, e);
    } else if (e) {
      failed = e;
    }
  if (!options_.stderr_path.empty())
    log_.open(options_.stderr_path, options_.clean_log);
  children().living.insert(shared_from_this());
  children().reaper.add(os.pid);
  {
    std::lock_guard lock{mutex_};
    pid_ = os.pid;
    if (doomed_ || failed)
      ::kill(-pid_, SIGKILL);
  }
  if (failed) {
    why_ = "cannot watch the program: " + failed.message();
    return on_end(); // blocks for no longer than the kernel needs to end it
  }
  when(end_, stream::wait_read, &child::on_end);
  when(out_, stream::wait_read, &child::on_stdout);
  if (err_.is_open())
    when(err_, stream::wait_read, &child::on_stderr);
  flush();
}

void child::when(stream& s, stream::wait_type what, void (child::*next)()) {
  s.async_wait(what, [self = shared_from_this(), next](const error_code& e) {
    if (!e && !self->finished_)
      (self.get()->*next)();
  });
}

void child::shut() {
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
  if (!in_.is_open() || writing_)
    return;
  {
    std::lock_guard lock{mutex_};
    std::move(inbox_.begin(), inbox_.end(), std::back_inserter(out_queue_));
    inbox_.clear();
  }
  if (out_queue_.empty())
    return closing_ ? close_stdin() : void();
  writing_ = true;
  boost::asio::async_write(in_, boost::asio::buffer(out_queue_.front()),
                           [self = shared_from_this()](const error_code& e, std::size_t n) {
                             self->writing_ = false;
                             if (e || !self->in_.is_open())
                               return self->close_stdin(); // EPIPE: it closed its input, which alone is no reason to end it
                             self->out_queue_.pop_front();
                             {
                               std::lock_guard lock{self->mutex_};
                               self->queued_ -= n;
                             }
                             self->flush();
                           });
}

void child::close_stdin() {
  error_code ignored;
  in_.close(ignored);
  if (!writing_)
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
  if (!lines.empty() && options_.max_waiting > 0) {
    std::lock_guard lock{mutex_};
    for (const auto& line : lines)
      waiting_ += weight(line);
  }
  if (!lines.empty() && cb_.on_lines)
    cb_.on_lines(std::move(lines));
  if (ok)
    return true;
  partial_.clear();
  fail("it wrote a line of more than " + std::to_string(options_.max_line) + " bytes");
  return false;
}

// What exceeds the cap of the file is read and dropped, so a talkative child never blocks.
bool child::hear(std::string_view bytes) {
  log_.add(bytes);
  std::lock_guard lock{mutex_};
  last_words_.append(bytes.substr(bytes.size() - std::min(bytes.size(), max_last_words)));
  last_words_.erase(0, last_words_.size() - std::min(last_words_.size(), max_last_words));
  return true;
}

// Reads what is there, `budget` bytes at most. Closes `from` at its end and when `eat` wants no more.
void child::read(stream& from, std::size_t budget, bool (child::*eat)(std::string_view)) {
  static std::array<char, read_size> buffer; // reactor thread only
  while (from.is_open() && budget > 0) {
    error_code e;
    auto n = from.read_some(boost::asio::buffer(buffer.data(), std::min(budget, buffer.size())), e);
    if (e == boost::asio::error::would_block)
      return;
    if (e || !(this->*eat)({buffer.data(), n}))
      from.close(e);
    budget -= n;
  }
}

void child::on_stdout() {
  read(out_, read_size, &child::take);
  if (out_.is_open()) {
    std::lock_guard lock{mutex_};
    held_ = options_.max_waiting > 0 && waiting_ > options_.max_waiting;
    if (held_)
      return; // its pipe fills up and makes it wait
  }
  if (out_.is_open())
    return when(out_, stream::wait_read, &child::on_stdout);
  reactor_->after(last_moment, [weak = weak_from_this()] {
    if (auto self = weak.lock(); self && !self->finished_ && self->cb_.on_silence)
      self->cb_.on_silence();
  });
}

void child::on_stderr() {
  read(err_, read_size, &child::hear);
  if (err_.is_open())
    when(err_, stream::wait_read, &child::on_stderr);
}

void child::on_end() {
  // The child is a zombie until it is reaped, so its number is still its own: what is left of its group goes with it.
  auto number = pid();
  ::kill(-number, SIGKILL);
  read(out_, max_drain, &child::take);
  read(err_, max_drain, &child::hear);
  children().reaper.remove(number);
  siginfo_t info{};
  int rc;
  bool killed;
  {
    std::lock_guard lock{mutex_};
    pid_ = 0;
    killed = doomed_;
  }
  do
    rc = ::waitid(P_PID, static_cast<id_t>(number), &info, WEXITED);
  while (rc != 0 && errno == EINTR);
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
  auto self = shared_from_this();
  finished_ = true;
  close_stdin();
  error_code ignored;
  for (auto* s : {&out_, &err_, &end_})
    s->close(ignored);
  log_.close();
  children().living.erase(self);
  auto cb = std::exchange(cb_, {}); // breaks a cycle if the callbacks hold the handle
  if (cb.on_exit)
    cb.on_exit(std::move(result));
  awaited_.clear();
}

/// What could not even be tried.
class no_child final : public child_process {
  bool write(std::string) override { return false; }
  void close() override {}
  void kill() override {}
  int pid() const override { return 0; }
  std::string last_words() const override { return {}; }
  void log(std::string) override {}
  void consumed(std::size_t) override {}
};

} // namespace

std::shared_ptr<child_process> child_process::start(child_options options, callbacks cb) {
  auto* reactor = child_reactor::get();
  if (!reactor) {
    if (cb.on_exit)
      cb.on_exit(
          {false, 0, "no thread or descriptor for child processes"}); // the one call that is not on the reactor: there is none
    return std::make_shared<no_child>();
  }
  [[maybe_unused]] static auto registered = std::atexit([] { end_all(); });
  auto c = std::make_shared<child>(std::move(options), std::move(cb), reactor);
  reactor->post([c] { c->run(); });
  auto* user = c.get();
  return {user, [c = std::move(c)](child_process*) { c->close(); }}; // the end of the handle is a close
}

void child_process::end_all() {
  auto* reactor = child_reactor::running();
  if (reactor == nullptr)
    return;
  auto gone = std::make_shared<std::promise<void>>();
  auto future = gone->get_future();
  reactor->post([gone] {
    // Each child holds the token until it has ended; the last to let go of it tells us.
    std::shared_ptr<void> token{nullptr, [gone](void*) { gone->set_value(); }};
    children().closed = true;
    for (auto& c : std::set(children().living))
      c->end(token);
  });
  if (future.wait_for(ladder_limit) == std::future_status::ready)
    return;
  reactor->post([] {
    for (auto& c : children().living)
      c->kill();
  });
  future.wait_for(kill_limit);
}

std::map<std::string, std::string> safe_environment() {
  std::map<std::string, std::string> out;
  for (auto* name : {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"})
    if (auto* value = std::getenv(name); value && std::strncmp(value, "()", 2) != 0)
      out.emplace(name, value);
  return out;
}

} // namespace conclave
