// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What a run may hold, and what is shortened so that it does not hold more.

#include "protocols/run_mover.hpp"

#include <algorithm>

namespace conclave::run {

namespace {
constexpr std::uint32_t max_overflows = 4;
}

/// The provider says the conversation is too long: halves what can be cut, tool results first (of those with images the images),
/// then the answers of others.
bool mover::shorten() {
  if (++s.overflows > max_overflows)
    return false;
  std::size_t total = 0, results = 0;
  for (auto& m : s.talk) {
    auto size = m.text.size() + (m.from == role::tool ? size_of(m.parts) : 0);
    total += size;
    results += m.from == role::tool ? size : 0;
  }
  if (results > total / 3) {
    for (std::size_t i = 0; i < s.talk.size(); ++i)
      if (auto& m = s.talk[i]; m.from == role::tool && (m.text.size() > min_result_bytes || !m.parts.empty())) {
        shortened(i);
        if (drop_parts(m.parts) == 0)
          prompts::cut(m.text, std::max(m.text.size() / 2, min_result_bytes));
      }
  } else if (!s.task.answers.empty() && s.budget_bytes != min_shown_bytes) {
    std::size_t shown = 0;
    for (auto& a : s.task.answers)
      shown += a.text.size();
    s.memory.learned_budget = s.budget_bytes =
        std::max<std::size_t>((s.budget_bytes > 0 ? std::min(s.budget_bytes, shown) : shown) / 2, min_shown_bytes);
    open_talk();
  } else {
    return false;
  }
  call_model();
  return true;
}

/// The server finds fault with an image: the newest results that have any go on as text. Returns false if there are none.
bool mover::drop_images() {
  auto found = false;
  for (auto i = s.talk.size(); i-- > 0 && !(found && s.talk[i].from == role::assistant);)
    if (auto& m = s.talk[i];
        m.from == role::tool && std::any_of(m.parts.begin(), m.parts.end(), [](auto& p) { return !p.data.empty(); })) {
      drop_parts(m.parts);
      shortened(i);
      found = true;
    }
  return found;
}

/// The server cannot take back what a provider sealed: every turn goes on as its text and calls. Returns false if none is of a
/// provider's own form, or one was paused half-way, which has no other.
bool mover::unseal() {
  auto found = false;
  for (std::size_t i = 0; i < s.talk.size() && s.pauses == 0; ++i)
    if (auto& m = s.talk[i]; !m.opaque.empty()) {
      m.opaque.clear();
      m.opaque_dialect.clear();
      shortened(i);
      found = true;
    }
  return found;
}

/// What the run takes: its conversation, the text before a pause, the replies of the round under way.
std::size_t mover::held_bytes() const {
  auto sum = s.said.size() + s.reply.text.size() + s.reply.reasoning.size() + s.reply.opaque.size();
  for (auto& c : s.reply.calls)
    sum += sizeof c + c.id.size() + c.name.size() + c.arguments.size();
  for (auto& p : s.pending) // whose calls are those of the reply
    sum += sizeof(message) + p.result.text.size() + size_of(p.result.parts);
  for (auto& m : s.talk) // files of the task have a bound of their own
    sum += size_of(m) - (m.from == role::user ? size_of(m.parts) : 0);
  return sum;
}

/// Notes that a message is not any more as it was stored, or as the report under way has it.
void mover::shortened(std::size_t i) {
  auto& first = s.awaited != 0 ? s.touched : s.kept;
  first = std::min(first, i);
}

/// Shortens the oldest tool results until the run takes no more than it may. Returns whether it does.
bool mover::make_room() {
  auto most = static_cast<std::size_t>(with.agent.backend.max_run_bytes);
  auto held = held_bytes();
  auto goal = held > most ? most - most / 4 : most; // with some room: each shortening spoils the provider's cache of the prompt
  auto shorten = [&](std::string& text, std::vector<content_part>& parts) {
    if (held <= goal)
      return false;
    auto freed = drop_parts(parts);
    held -= freed;
    if (held <= goal || text.size() <= 2 * min_result_bytes)
      return freed > 0;
    auto before = text.size();
    prompts::cut(text, min_result_bytes);
    text.shrink_to_fit(); // the memory is what this is about
    held -= before - text.size();
    return true;
  };
  for (std::size_t i = 0; i < s.talk.size(); ++i)
    if (s.talk[i].from == role::tool && shorten(s.talk[i].text, s.talk[i].parts))
      shortened(i);
  for (auto& p : s.pending)
    shorten(p.result.text, p.result.parts);
  return held <= most;
}

void mover::no_room() {
  fail(ec::context_overflow, "the conversation of this run takes " + std::to_string(held_bytes())
                                 + " bytes with its tool results shortened, the limit is "
                                 + std::to_string(with.agent.backend.max_run_bytes)
                                 + ": raise `max_run_bytes`, or let the tools return less");
}

} // namespace conclave::run
