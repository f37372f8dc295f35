// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/node_log.hpp"

#include "protocols/config.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <ctime>

namespace conclave {

namespace {

/// So many lines at once, and so many a second after that.
struct pace {
  double burst, per_second;
};
constexpr pace of_a_type{100, 10};
constexpr pace of_strangers{100, 0.5};
constexpr pace of_a_source{20, 1.0 / 6};
constexpr std::size_t max_sources = 64;
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

/// A value as it stands behind `name=`: bare if nobody could take it for two.
std::string shown(const std::string& value) {
  auto plain = std::all_of(value.begin(), value.end(), [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '='; });
  return plain ? value : wire::quote(value);
}

/// Whoever can reach the port causes these.
bool by_strangers(const node_note& n) {
  return n.type == "refused";
}

/// The address without its port.
std::string source_of(const node_note& n) {
  for (auto& [name, value] : n.fields)
    if (name == "peer")
      return value.text.substr(0, value.text.rfind(':'));
  return {};
}

template <class Bucket>
double filled(const Bucket& b, pace p, std::chrono::nanoseconds now) {
  return std::min(p.burst, b.tokens + p.per_second * std::chrono::duration<double>(now - b.at).count());
}

template <class Bucket>
bool has_token(Bucket& b, pace p, std::chrono::nanoseconds now) {
  b.tokens = filled(b, p, now);
  b.at = now;
  return b.tokens >= 1;
}

std::string gap_in_json(std::size_t bytes) {
  return note_line({note_weight::trouble, "lines_lost", {{"bytes", bytes}}}, outside::of_machine()->now_unix_ms(), true);
}

} // namespace

std::string note_line(const node_note& n, std::int64_t time_ms, bool json) {
  auto line = json ? "{\"time\":\"" + time_text(time_ms) + "\",\"type\":" + wire::quote(n.type) : time_text(time_ms) + " " + n.type;
  for (auto& [name, x] : n.fields) {
    if (x.text.empty())
      continue;
    auto value = x.is_text ? shown_text(x.text, max_value) : x.text;
    line += json ? "," + wire::quote(name) + ":" + (x.is_text ? wire::quote(value) : value) : " " + name + "=" + shown(value);
  }
  return json ? line + "}\n" : for_terminal(line) + "\n";
}

node_log::node_log(bool json, note_weight least)
    : json_(json), least_(least), out_(json ? 1 : 2, max_waiting, json ? gap_in_json : nullptr) {}

void node_log::finish() {
  {
    std::lock_guard lock{mutex_};
    finished_ = true;
    tell_missing();
  }
  out_.flush(false, std::atomic<bool>{true});
}

void node_log::settle() {
  std::lock_guard lock{mutex_};
  tell_missing();
}

/// Call with the lock held.
void node_log::tell_missing() {
  for (auto& [type, q] : quotas_)
    if (q.left_out > 0)
      write({note_weight::trouble, "lines_left_out", {{"of", type}}}, q);
}

void node_log::keep(const node_note& n) {
  if (n.weight < least_)
    return;
  auto now = outside_->now_steady();
  std::lock_guard lock{mutex_};
  if (finished_)
    return;
  auto p = by_strangers(n) ? of_strangers : of_a_type;
  auto& q = quotas_.try_emplace(n.type, quota{{p.burst, now}}).first->second;
  if (!has_token(q, p, now) || (by_strangers(n) && !strangers_turn(q, n, now))) {
    ++q.left_out;
    return;
  }
  q.tokens -= 1;
  write(n, q);
}

/// Whether its address has not had its share: one that floods must not hide the others. Call with the lock held.
bool node_log::strangers_turn(quota& q, const node_note& n, std::chrono::nanoseconds now) {
  auto from = source_of(n);
  if (q.sources.size() >= max_sources && q.sources.count(from) == 0) {
    std::erase_if(q.sources, [now](auto& s) { return filled(s.second, of_a_source, now) >= of_a_source.burst; });
    if (q.sources.size() >= max_sources)
      return true; // so many at once: only the type's own pace holds
  }
  auto& b = q.sources.try_emplace(from, bucket{of_a_source.burst, now}).first->second;
  if (!has_token(b, of_a_source, now))
    return false;
  b.tokens -= 1;
  return true;
}

/// Call with the lock held.
void node_log::write(node_note n, quota& q) {
  if (q.left_out > 0)
    n.fields.emplace_back("left_out_before", q.left_out);
  q.left_out = 0;
  out_.write(note_line(n, outside_->now_unix_ms(), json_));
}

} // namespace conclave
