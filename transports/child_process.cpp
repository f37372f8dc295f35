// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/child_process.hpp"

#include "transports/child_flow.hpp"
#include "transports/child_group.hpp"
#include "transports/child_last_words.hpp"
#include "transports/child_launch.hpp"
#include "transports/child_nursery.hpp"

#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <sys/ioctl.h>

namespace conclave {

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;
using stream = launched_child::stream;

constexpr std::size_t max_queue = 32u << 20;
constexpr std::size_t read_size = 64u << 10;
constexpr std::size_t max_drain = 4u << 20; ///< read after the end: at most what a pipe can hold, so a grandchild cannot keep us
constexpr auto patience = 2s;
constexpr auto last_moment = 200ms; ///< from the end of stdout to the end of a child that just ends; and for its log
constexpr auto group_poll = 100ms;  ///< nothing wakes us when a group is empty

/// One child from start to exit. Shared by the user and the reactor; all but the atomic and the locked is the reactor thread's.
class child final : public child_process, public std::enable_shared_from_this<child> {
public:
  child(child_options o, callbacks cb, child_reactor* r) : options_(std::move(o)), cb_(std::move(cb)), reactor_(r), os_(*r) {}

  bool write(std::string bytes) override {
    auto size = bytes.size();
    if ((queued_ += size) > max_queue || !stdin_open_) {
      queued_ -= size;
      return false;
    }
    post([bytes = std::move(bytes)](child& c) {
      c.queue_ += bytes;
      c.flush();
    });
    return true;
  }

  void close() override { post(&child::shut); }

  void kill() override {
    post([](child& c) { c.signal(SIGKILL); });
  }

  int pid() const override { return pid_; }

  std::string last_words() const override { return last_words_.text(); }

  void log(std::string line) override {
    post([text = std::move(line) + "\n"](child& c) { c.log_.add(text); });
  }

  void consumed(std::size_t weight) override {
    post([weight](child& c) {
      if (c.flow_.give_back(weight))
        c.when(c.os_.out, &child::on_stdout);
    });
  }

  void run() {
    result_.error = child_nursery::get().is_open() ? launch_child(options_, child_bond::dependent, os_) : "the process ends";
    result_.started = result_.error.empty();
    if (!result_.started)
      return finish();
    group_.lead_by(pid_ = os_.pid);
    child_nursery::get().enter(shared_from_this(), pid_);
    log_.open(options_.stderr_path, options_.clean_log);
    when(os_.end, &child::on_end);
    when(os_.out, &child::on_stdout);
    when(os_.err, &child::on_stderr);
    when(os_.in, &child::on_unread, stream::wait_error);
    flush();
  }

  void shut() {
    if (std::exchange(closing_, true))
      return;
    stdin_open_ = false;
    flush(); // what was accepted is still delivered if the child reads it in time
    after(patience, [](child& c) {
      c.close_stdin();
      c.signal(SIGTERM, "ended by SIGTERM: it did not end when its input did");
    });
    after(2 * patience, [](child& c) { c.signal(SIGKILL, "ended by SIGKILL: it ignored the end of its input and SIGTERM"); });
  }

private:
  template <class F>
  void post(F what) {
    reactor_->post([self = shared_from_this(), what = std::move(what)] { std::invoke(what, *self); });
  }

  template <class F>
  void after(std::chrono::milliseconds delay, F what) {
    reactor_->after(delay, [self = shared_from_this(), what] { std::invoke(what, *self); });
  }

  void when(stream& s, void (child::*ready)(), stream::wait_type what = stream::wait_read) {
    s.async_wait(what, [self = shared_from_this(), ready](const error_code& e) {
      if (!e)
        (self.get()->*ready)();
    });
  }

  void signal(int sig, std::string why = {}) {
    if (over_ && group_.number() > 0 && !why.empty())
      log_.add("[conclave] what it left behind was " + why + "\n");
    if (!why.empty())
      why_ = std::move(why);
    killed_ = killed_ || sig == SIGKILL;
    group_.signal(sig);
  }

  void flush() {
    if (!os_.in.is_open() || !sending_.empty())
      return;
    if (queue_.empty())
      return closing_ ? close_stdin() : void();
    sending_.swap(queue_);
    asio::async_write(os_.in, asio::buffer(sending_), [self = shared_from_this()](const error_code& e, std::size_t n) {
      self->queued_ -= n;
      self->sending_.clear();
      e ? self->on_deaf() : self->flush(); // EPIPE
    });
  }

  // Nobody has its stdin open any more. If all was read, its answers may still come: only what is written next is lost.
  void on_unread() {
    int unread = 0;
    if (!sending_.empty() || (os_.in.is_open() && ::ioctl(os_.in.native_handle(), FIONREAD, &unread) == 0 && unread > 0))
      on_deaf();
  }

  // It closed its stdin and left something unread, which alone is no reason to end it.
  void on_deaf() {
    if (os_.in.is_open() && !closing_)
      tell_soon(&callbacks::on_deaf);
    close_stdin();
  }

  // What one that just ends does, too: that is told instead.
  void tell_soon(std::function<void()> callbacks::*what) {
    after(last_moment, [what](child& c) {
      if (!c.over_ && c.cb_.*what)
        (c.cb_.*what)();
    });
  }

  void close_stdin() {
    error_code ignored;
    stdin_open_ = false;
    os_.in.close(ignored);
    queue_.clear();
  }

  // Cuts bytes into lines and hands them on. Returns false if a line was too long.
  bool take(std::string_view bytes) {
    if (over_)
      return true;
    std::vector<std::string> lines;
    auto fits = flow_.cut(bytes, lines);
    if (!lines.empty())
      cb_.on_lines(std::move(lines));
    if (!fits)
      signal(SIGKILL, "it wrote a line of more than " + std::to_string(options_.max_line) + " bytes");
    return fits;
  }

  // What exceeds the cap of the file is read and dropped, so a talkative child never blocks.
  bool hear(std::string_view bytes) {
    log_.add(bytes);
    if (!over_)
      last_words_.add(bytes);
    return true;
  }

  // Reads what is there, `budget` bytes at most. Closes `from` at its end and when `eat` wants no more; returns whether it is open.
  bool read(stream& from, std::size_t budget, bool (child::*eat)(std::string_view)) {
    static std::array<char, read_size> buffer; // reactor thread only
    while (from.is_open() && budget > 0) {
      error_code e;
      auto n = from.read_some(asio::buffer(buffer.data(), std::min(budget, buffer.size())), e);
      if (e == asio::error::would_block)
        return true;
      if (e || !(this->*eat)({buffer.data(), n}))
        from.close(e);
      budget -= n;
    }
    return from.is_open();
  }

  void on_stdout() {
    if (!read(os_.out, read_size, &child::take))
      return tell_soon(&callbacks::on_silence);
    if (!flow_.hold()) // else its pipe fills up and makes it wait
      when(os_.out, &child::on_stdout);
  }

  void on_stderr() {
    if (read(os_.err, read_size, &child::hear))
      when(os_.err, &child::on_stderr);
  }

  void on_end() {
    result_.error = std::move(why_);
    if (!group_.wait(result_.status))
      result_.error = "its exit status is unknown: the host process ignores SIGCHLD";
    else if (result_.error.empty() && killed_ && result_.status == 128 + SIGKILL)
      result_.error = "killed";
    on_group();
  }

  // It ended by itself and others of its group live, as does the server of a wrapper that was killed. To the user it is over now;
  // they have the ladder. Their output is read on: who cannot write may not get as far as to save its state.
  void leave_behind() {
    log_.add("[conclave] it ended and left others of its group behind: their input is closed now, and in "
             + std::to_string(patience.count()) + " s they get SIGTERM, in " + std::to_string(2 * patience.count())
             + " s SIGKILL\n");
    end_output();
    if (flow_.let_run() && os_.out.is_open())
      when(os_.out, &child::on_stdout);
    close_stdin(); // what waits for it is not carried out any more: that was told
    shut();
    tell_end(&child_log_lane::flush);
  }

  // Within the ladder the rest of the group has its time, too: a wrapper (a shell at SIGTERM) ends before its server has.
  void on_group() {
    if (!killed_ && group_.has_members()) {
      if (!closing_)
        leave_behind();
      return after(group_poll, &child::on_group);
    }
    end_output();
    group_.release();
    child_nursery::get().group_ended(shared_from_this());
    finish();
  }

  // What it said until now, and no more, is for the user.
  void end_output() {
    read(os_.out, max_drain, &child::take);
    read(os_.err, max_drain, &child::hear);
    pid_ = 0;
    auto rest = flow_.take_rest();
    if (!std::exchange(over_, true) && !rest.empty())
      cb_.on_lines({std::move(rest)}); // a last line without LF
  }

  void finish() {
    closing_ = over_ = true;
    close_stdin();
    os_ = launched_child{*reactor_};
    tell_end(&child_log_lane::close);
  }

  // What it wrote last stands in its log before its end is told, if the disk does not take its time.
  void tell_end(void (child_log_lane::*written)(std::function<void()>)) {
    auto tell = [](child& c) {
      auto cb = std::exchange(c.cb_, {}); // once; and it breaks a cycle if the callbacks hold the handle
      if (cb.on_exit)
        cb.on_exit(std::move(c.result_));
      child_nursery::get().leave(c.shared_from_this());
    };
    (log_.*written)([self = shared_from_this(), tell] { self->post(tell); });
    after(last_moment, tell);
  }

  child_options options_;
  callbacks cb_;
  child_reactor* reactor_;
  launched_child os_;
  child_group group_;
  child_flow flow_{options_.max_line, options_.max_waiting};
  child_log_lane log_;
  child_last_words last_words_{max_last_words};
  child_exit result_;
  std::string queue_, sending_; ///< for stdin
  std::string why_;             ///< why it was ended
  bool closing_ = false;        ///< on the ladder, or at its end
  bool over_ = false;           ///< for the user
  bool killed_ = false;
  std::atomic<std::size_t> queued_{0};
  std::atomic<bool> stdin_open_{true};
  std::atomic<int> pid_{0};
};

} // namespace

std::shared_ptr<child_process> child_process::start(child_options options, callbacks cb) {
  auto* reactor = child_reactor::get();
  if (!reactor) {
    cb.on_exit({false, 0, "no thread or descriptor for child processes"}); // not on the reactor: there is none
    return nullptr;
  }
  [[maybe_unused]] static auto registered = std::atexit([] { end_all(); });
  auto c = std::make_shared<child>(std::move(options), std::move(cb), reactor);
  reactor->post([c] { c->run(); });
  auto* user = c.get();
  return {user, [c = std::move(c)](child_process*) { c->close(); }}; // the end of the handle is a close
}

void child_process::end_all() {
  child_nursery::get().end_all();
}

} // namespace conclave
