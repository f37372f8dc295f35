// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/run_session.hpp"

#include "app/host_io.hpp"
#include "protocols/text.hpp"

#include <condition_variable>
#include <mutex>
#include <optional>

namespace conclave {

namespace {

/// One task of the engine, from start to outcome, with the first signal and a broken standard output as reasons to end it early.
class session {
public:
  session(engine& eng, run_output& out) : engine_(eng), out_(out) {}

  outcome run(const std::function<std::string(listener, std::function<void(outcome)>)>& begin) {
    listener l;
    l.on_event = [this](const event& e) {
      if (!out_.on(e))
        end("standard output is gone");
    };
    if (out_.wants_chunks())
      l.on_chunk = [this](const chunk_batch& b) { out_.on(b); };
    auto id = begin(l, [this](outcome o) {
      std::lock_guard lock(mutex_);
      outcome_ = std::move(o);
      changed_.notify_all();
    });
    out_.begin(id);
    std::unique_lock lock(mutex_);
    id_ = id;
    if (!reason_.empty() && !outcome_) {
      auto reason = reason_;
      lock.unlock();
      engine_.cancel(id, reason);
      lock.lock();
    }
    changed_.wait(lock, [this] { return outcome_.has_value(); });
    return std::move(*outcome_);
  }

  /// Ends the task early. Returns false if it has ended, or is being ended, already.
  bool end(const std::string& reason) {
    std::string id;
    {
      std::lock_guard lock(mutex_);
      if (!reason_.empty() || outcome_)
        return false;
      reason_ = reason;
      id = id_;
    }
    if (!id.empty()) // else `run` does it as soon as it knows the id
      engine_.cancel(id, reason);
    return true;
  }

private:
  engine& engine_;
  run_output& out_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string id_, reason_;
  std::optional<outcome> outcome_;
};

} // namespace

int run_session(engine& eng, run_output& out,
                const std::function<std::string(listener l, std::function<void(outcome)> done)>& begin) {
  session s(eng, out);
  signal_watch signals;
  signals.arm([&](const char* name) {
    out.leave();
    if (s.end(name))
      out.note(std::string(name) + ": ending the task and keeping what there is; once more to leave at once");
  });
  auto result = s.run(begin);
  auto code = out.finish(result);
  if (auto left = eng.stop(); !left.empty())
    write_all(2, "conclave: " + for_terminal(left) + "\n");
  return code;
}

} // namespace conclave
