// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_names.hpp"

#include "transports/process_owner.hpp"

#include <ctime>

namespace conclave {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

} // namespace

std::string body_key(std::string_view sha) {
  std::string out;
  if (sha.size() != 64)
    return out;
  out.reserve(32);
  for (std::size_t i = 0; i < sha.size(); i += 2) {
    auto high = digits.find(sha[i]), low = digits.find(sha[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos)
      return {};
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string body_name(std::string_view key) {
  std::string out;
  out.reserve(2 * key.size());
  for (unsigned char c : key) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

std::string owner_text(const task_owner& owner) {
  if (owner.host.empty())
    return "another process";
  auto text = "process " + std::to_string(owner.pid) + " on " + owner.host;
  auto seconds = static_cast<std::time_t>(owner.started_ms / 1000);
  std::tm tm{};
  char begun[40];
  if (owner.started_ms > 0 && ::gmtime_r(&seconds, &tm) != nullptr
      && std::strftime(begun, sizeof begun, "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
    text += std::string(" (begun ") + begun + ")";
  return text;
}

std::string in_use_text(const std::string& task, const task_owner& owner, bool ended) {
  return "task " + task + (ended ? " is in use: " : " is under way: ") + (is_gone(owner) ? "another process" : owner_text(owner))
         + " works on it"; // who deletes it writes no name: a disk may be full
}

std::string why_kept(const task_row& row) {
  return row.outcome.empty() ? "task " + row.task + " is still running: end it first: conclave cancel " + row.task
                             : in_use_text(row.task, row.owner, true) + in_use_advice;
}

} // namespace conclave
