// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/approval.hpp"

#include "protocols/text.hpp"

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace conclave {

struct host_question::answer {
  std::mutex mutex;
  std::condition_variable said;
  std::optional<std::string> why; ///< empty text = yes

  void say(std::string text) { // the first counts
    std::lock_guard lock(mutex);
    if (!why)
      why = std::move(text);
    said.notify_all();
  }
};

namespace {

std::string carry_out(const std::function<bool()>& question) {
  try {
    return question() ? "" : "the host did not approve it";
  } catch (const std::exception& e) {
    return "the host's approval failed: " + shown_text(e.what(), 300);
  } catch (...) {
    return "the host's approval failed";
  }
}

} // namespace

host_question::host_question() : answer_(std::make_shared<answer>()) {}

std::string host_question::ask(outside& from, std::function<bool()> question, std::chrono::milliseconds within) {
  auto a = answer_;
  {
    std::lock_guard lock(a->mutex);
    if (a->why)
      return *a->why;
  }
  if (!from.start_thread("approval", [a, question = std::move(question)] { a->say(carry_out(question)); }))
    return "the system gives no thread to ask the host on";
  std::unique_lock lock(a->mutex);
  if (!a->said.wait_for(lock, within, [&] { return a->why.has_value(); }))
    a->why = "the host did not answer within " + std::to_string(within.count()) + " ms";
  return *a->why;
}

void host_question::give_up(const std::string& why) {
  answer_->say(why.empty() ? "it was given up" : why); // empty text is a yes
}

std::string ask_host(outside& from, std::function<bool()> question, std::chrono::milliseconds within) {
  return host_question{}.ask(from, std::move(question), within);
}

} // namespace conclave
