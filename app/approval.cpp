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

namespace {

struct answer {
  std::mutex mutex;
  std::condition_variable said;
  std::optional<std::string> why; ///< empty text = yes
};

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

std::string ask_host(outside& from, std::function<bool()> question, std::chrono::milliseconds within) {
  auto a = std::make_shared<answer>();
  auto thread = from.start_thread("approval", [a, question = std::move(question)] {
    auto why = carry_out(question);
    std::lock_guard lock(a->mutex);
    a->why = std::move(why);
    a->said.notify_one();
  });
  if (!thread)
    return "the system gives no thread to ask the host on";
  std::unique_lock lock(a->mutex);
  if (a->said.wait_for(lock, within, [&] { return a->why.has_value(); }))
    return *a->why;
  return "the host did not answer within " + std::to_string(within.count()) + " ms";
}

} // namespace conclave
