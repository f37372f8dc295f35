// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/rate_window.hpp"

#include <algorithm>

namespace conclave {

namespace {

constexpr std::size_t max_models = 1'000;

std::int64_t stricter(std::int64_t a, std::int64_t b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

std::int64_t need_of(wire::rate_unit unit, std::int64_t tokens) {
  return unit == wire::rate_unit::tokens ? std::max<std::int64_t>(tokens, 1) : 1; // how long a reply gets nobody knows
}

} // namespace

rate_limits strictest(const rate_limits& a, const rate_limits& b) {
  return {stricter(a.rpm, b.rpm), stricter(a.tpm, b.tpm), stricter(a.rpd, b.rpd)};
}

void sliding_window::forget(std::int64_t now) {
  while (!entries_.empty() && entries_.front().at + span_ms_ <= now) {
    sum_ -= entries_.front().amount;
    entries_.pop_front();
  }
}

std::int64_t sliding_window::wait(std::int64_t now, std::int64_t amount) {
  if (most_ <= 0)
    return 0;
  forget(now);
  auto over = sum_ + std::min(amount, most_) - most_;
  auto until = now;
  for (auto i = entries_.begin(); over > 0 && i != entries_.end(); ++i) {
    over -= i->amount;
    until = i->at + span_ms_;
  }
  return until - now;
}

void sliding_window::take(std::int64_t now, std::uint64_t id, std::int64_t amount) {
  if (most_ <= 0)
    return;
  forget(now);
  entries_.push_back({now, id, amount});
  sum_ += amount;
}

void sliding_window::correct(std::uint64_t id, std::int64_t amount) {
  auto i = std::lower_bound(entries_.begin(), entries_.end(), id, [](const entry& e, std::uint64_t x) { return e.id < x; });
  if (i == entries_.end() || i->id != id)
    return;
  sum_ += amount - i->amount;
  i->amount = amount;
}

void rate_limiter::limit(const rate_limits& to) {
  limits_ = strictest(limits_, to);
  requests_.set(limits_.rpm);
  tokens_.set(limits_.tpm);
  day_.set(limits_.rpd);
}

void rate_limiter::learn(const std::string& model, const std::vector<wire::rate_state>& told, std::int64_t now) {
  if (told.empty())
    return;
  if (learned_.size() >= max_models && learned_.count(model) == 0)
    learned_.clear();
  auto& known = learned_[model];
  known.clear();
  for (const auto& w : told)
    known.push_back({w, now, 0});
}

/// A window fills up again evenly until it is whole, or, where its size is not told, at once when it is reset.
std::int64_t rate_limiter::wait_for(const learned& w, std::int64_t tokens, std::int64_t now) {
  auto& t = w.told;
  auto need = need_of(t.unit, tokens);
  if (t.limit > 0)
    need = std::min(need, t.limit);
  auto lacks = need + w.taken - t.remaining;
  if (lacks <= 0 || now >= w.at + t.reset_ms)
    return 0;
  auto after = t.reset_ms;
  if (t.limit > t.remaining)
    after = std::min(after, static_cast<std::int64_t>(static_cast<double>(t.reset_ms) * static_cast<double>(lacks)
                                                      / static_cast<double>(t.limit - t.remaining))
                                + 1);
  return std::max<std::int64_t>(w.at + after - now, 0);
}

rate_limiter::verdict rate_limiter::wait(const std::string& model, std::int64_t tokens, std::int64_t now, std::int64_t longest) {
  verdict out;
  auto say = [&](sliding_window& w, std::int64_t amount, const char* name) {
    if (auto ms = w.wait(now, amount); ms > out.ms)
      out = {ms, "`" + std::string{name} + ": " + std::to_string(w.most()) + "`", false};
  };
  say(requests_, 1, "rpm");
  say(tokens_, tokens, "tpm");
  say(day_, 1, "rpd");
  if (out.ms > 0)
    return out;
  if (auto known = learned_.find(model); known != learned_.end())
    for (const auto& w : known->second)
      if (auto ms = wait_for(w, tokens, now); ms > out.ms && ms <= longest)
        out = {ms, "", true};
  return out;
}

std::uint64_t rate_limiter::take(const std::string& model, std::int64_t tokens, std::int64_t now) {
  ++ids_;
  requests_.take(now, ids_, 1);
  tokens_.take(now, ids_, tokens);
  day_.take(now, ids_, 1);
  if (auto known = learned_.find(model); known != learned_.end())
    for (auto& w : known->second)
      w.taken += need_of(w.told.unit, tokens);
  return ids_;
}

void rate_limiter::correct(std::uint64_t id, std::int64_t tokens) {
  tokens_.correct(id, tokens);
}

} // namespace conclave
