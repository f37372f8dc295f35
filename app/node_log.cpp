// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/node_log.hpp"

#include "protocols/config.hpp"
#include "protocols/prompts.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>

namespace conclave {

namespace {

constexpr double burst = 100, per_second = 10;
constexpr std::size_t max_value = 1000;
constexpr std::size_t max_waiting = std::size_t{1} << 20;

std::string time_text(std::int64_t ms) {
  auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  char day[32], out[48];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
  std::snprintf(out, sizeof out, "%s.%03dZ", day, static_cast<int>(ms % 1000));
  return out;
}

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// A value as it stands behind `name=`: bare if nobody could take it for two.
std::string shown(const std::string& value) {
  auto plain = std::all_of(value.begin(), value.end(), [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '='; });
  return plain ? value : wire::quote(value);
}

std::string gap_in_json(std::size_t bytes) {
  return note_line({note_weight::trouble, "lines_lost", {{"bytes", std::to_string(bytes)}}}, now_ms(), true);
}

} // namespace

std::string note_line(const node_note& n, std::int64_t time_ms, bool json) {
  auto line = json ? "{\"time\":\"" + time_text(time_ms) + "\",\"type\":" + wire::quote(n.type) : time_text(time_ms) + " " + n.type;
  for (auto& [name, raw] : n.fields) {
    if (raw.empty())
      continue;
    auto value = shown_text(raw, max_value);
    line += json ? "," + wire::quote(name) + ":" + wire::quote(value) : " " + name + "=" + shown(value);
  }
  return json ? line + "}\n" : prompts::for_terminal(line) + "\n";
}

node_log::node_log(bool json, note_weight least)
    : json_(json), least_(least), out_(json ? 1 : 2, max_waiting, json ? gap_in_json : nullptr) {}

void node_log::finish() {
  {
    std::lock_guard lock{mutex_};
    finished_ = true;
    for (auto& [type, q] : quotas_)
      if (q.left_out > 0)
        write({note_weight::trouble, "lines_left_out", {{"of", type}}}, q);
  }
  out_.flush(false, std::atomic<bool>{true});
}

void node_log::keep(const node_note& n) {
  if (n.weight < least_)
    return;
  auto now = std::chrono::steady_clock::now();
  std::lock_guard lock{mutex_};
  if (finished_)
    return;
  auto& q = quotas_.try_emplace(n.type, quota{burst, now}).first->second;
  q.tokens = std::min(burst, q.tokens + per_second * std::chrono::duration<double>(now - q.at).count());
  q.at = now;
  if (q.tokens < 1) {
    ++q.left_out;
    return;
  }
  q.tokens -= 1;
  write(n, q);
}

/// Call with the lock held.
void node_log::write(node_note n, quota& q) {
  if (q.left_out > 0)
    n.fields.emplace_back("left_out_before", std::to_string(q.left_out));
  q.left_out = 0;
  out_.write(note_line(n, now_ms(), json_));
}

} // namespace conclave
