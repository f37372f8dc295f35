// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_hold.hpp"

#include "transports/event_store_names.hpp"
#include "transports/process_owner.hpp"

#include <chrono>
#include <future>
#include <thread>
#include <utility>

namespace conclave {

namespace {

constexpr int tries = 10;
constexpr auto pause = std::chrono::milliseconds(100);

/// Whether another process has it, which shows also where nothing can be written: in its lock.
bool is_with_others(event_store& store, const std::string& task) {
  std::string unread;
  auto row = store.find(task, unread);
  auto own = this_process();
  return row && row->live && (row->owner.host != own.host || row->owner.pid != own.pid);
}

} // namespace

task_hold::task_hold(event_store& store, std::string task) : store_(store), task_(std::move(task)) {
  auto reply = std::make_shared<std::promise<claim_result>>();
  auto result = reply->get_future();
  store_.claim(task_, this_process(), [reply](claim_result r) { reply->set_value(std::move(r)); });
  claim_ = result.get();
  held_ = claim_.code == ec::none;
}

void task_hold::release() {
  if (std::exchange(held_, false))
    store_.release(task_);
}

std::unique_ptr<task_hold> task_hold::of_ended(event_store& store, const std::string& task, std::string& why, bool waits) {
  why.clear();
  std::string unread;
  auto row = store.find(task, unread);
  if (!unread.empty() || (row && row->outcome.empty()))
    return nullptr;
  for (auto n = 0; n < (waits ? tries : 1); ++n) {
    if (n > 0)
      std::this_thread::sleep_for(pause);
    auto hold = std::make_unique<task_hold>(store, task);
    auto& got = hold->claim();
    why = got.code == ec::none || got.code == ec::unavailable ? std::string{} : got.error;
    if (got.code == ec::none)
      return hold;
    if (got.code == ec::unavailable && is_with_others(store, task)) {
      why = in_use_text(task, row ? row->owner : task_owner{}, true) + in_use_advice;
      return nullptr;
    }
    if (got.code != ec::denied)
      return nullptr;
  }
  why += in_use_advice;
  return nullptr;
}

} // namespace conclave
