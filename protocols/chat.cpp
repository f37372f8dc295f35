// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/chat.hpp"

#include <algorithm>

namespace conclave {

void add(usage& sum, const usage& x) {
  constexpr std::int64_t most = 1'000'000'000'000;
  for (auto& [name, count] : usage_counts)
    sum.*count = std::min(sum.*count + std::clamp<std::int64_t>(x.*count, 0, most), most * 1000);
}

std::vector<const content_part*> shown_parts(const std::vector<content_part>& parts) {
  auto says = [](const content_part& p) { return p.kind == content_kind::text && !p.text.empty(); };
  auto told = std::any_of(parts.begin(), parts.end(), says);
  std::vector<const content_part*> out;
  for (auto& p : parts)
    if (p.kind != content_kind::json || !told)
      out.push_back(&p);
  return out;
}

std::string joined_text(const std::vector<content_part>& parts) {
  std::string out;
  for (auto* p : shown_parts(parts)) {
    if (!out.empty())
      out += '\n';
    out += p->text;
  }
  return out;
}

std::size_t size_of(const std::vector<content_part>& parts) {
  std::size_t sum = 0;
  for (auto& p : parts)
    sum += sizeof p + p.text.size() + p.media_type.size() + p.data.size() + p.uri.size();
  return sum;
}

std::size_t size_of(const message& m) {
  auto sum = sizeof m + m.text.size() + m.reasoning.size() + m.opaque.size() + size_of(m.parts);
  for (auto& c : m.calls)
    sum += sizeof c + c.id.size() + c.name.size() + c.arguments.size();
  return sum;
}

std::size_t drop_parts(std::vector<content_part>& parts) {
  auto freed = size_of(parts);
  std::vector<content_part>{}.swap(parts); // the memory is what this is about
  return freed;
}

// A switch per enum, here and elsewhere, though they look alike: the compiler says which value has no text, a table's does not.

std::string to_string(role x) {
  switch (x) {
  case role::system:
    return "system";
  case role::user:
    return "user";
  case role::assistant:
    return "assistant";
  case role::tool:
    return "tool";
  }
  return "unknown";
}

std::string to_string(chunk_kind x) {
  switch (x) {
  case chunk_kind::text:
    return "text";
  case chunk_kind::reasoning:
    return "reasoning";
  case chunk_kind::tool_call:
    return "tool_call";
  case chunk_kind::status:
    return "status";
  }
  return "unknown";
}

std::string to_string(completion_status x) {
  switch (x) {
  case completion_status::finished:
    return "finished";
  case completion_status::truncated:
    return "truncated";
  case completion_status::refused:
    return "refused";
  case completion_status::cancelled:
    return "cancelled";
  case completion_status::broken:
    return "broken";
  case completion_status::paused:
    return "paused";
  }
  return "unknown";
}

} // namespace conclave
