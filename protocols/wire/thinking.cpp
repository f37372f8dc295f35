// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/thinking.hpp"

#include <algorithm>
#include <cctype>

namespace conclave::wire {

namespace {

struct tag {
  std::string_view open, close; ///< lower case; an empty `close`: the tag only introduces the text, and is dropped
};

// Sources: chat templates and reasoning parsers of vLLM and SGLang for DeepSeek, Qwen, GLM, MiniMax, Granite, Nemotron, Mistral,
// Kimi, Seed, Command A, gpt-oss, Gemma, LongCat and Apertus; Hermes and Reflection by their model cards; read 2026-11-26.
constexpr tag tags[] = {
    {"<think>", "</think>"},
    {"<thinking>", "</thinking>"},
    {"<thought>", "</thought>"},
    {"<thoughts>", "</thoughts>"},
    {"<reasoning>", "</reasoning>"},
    {"<scratchpad>", "</scratchpad>"},
    {"<scratch_pad>", "</scratch_pad>"},
    {"<seed:think>", "</seed:think>"},
    {"<longcat_think>", "</longcat_think>"},
    {"<mm:think>", "</mm:think>"},
    {"[think]", "[/think]"},
    {"\xE2\x97\x81think\xE2\x96\xB7", "\xE2\x97\x81/think\xE2\x96\xB7"},
    {"<|think|>", "<|/think|>"},
    {"<|start_thinking|>", "<|end_thinking|>"},
    {"<|begin_of_thought|>", "<|end_of_thought|>"},
    {"<|inner_prefix|>", "<|inner_suffix|>"},
    {"<|channel>thought", "<channel|>"},
    {"<|channel|>analysis<|message|>", "<|end|>"},
    {"<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"},
    {"<|channel|>final<|message|>", ""},
    {"<|start|>assistant<|channel|>final<|message|>", ""},
};

constexpr std::string_view blanks = " \t\r\n";

/// Whether `text` begins with the tag, or where `partly`, could yet do so.
bool begins(std::string_view text, std::string_view with, bool partly) {
  auto n = std::min(text.size(), with.size());
  if (n < with.size() && !partly)
    return false;
  for (std::size_t i = 0; i < n; ++i) {
    auto c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != with[i])
      return false;
  }
  return true;
}

std::size_t find_tag(std::string_view text, std::string_view close, std::size_t from) {
  for (auto at = text.find(close.front(), from); at != std::string_view::npos; at = text.find(close.front(), at + 1))
    if (begins(text.substr(at), close, false))
      return at;
  return std::string_view::npos;
}

std::string_view trimmed(std::string_view line) {
  auto a = line.find_first_not_of(blanks);
  return a == std::string_view::npos ? std::string_view{} : line.substr(a, line.find_last_not_of(blanks) - a + 1);
}

/// Counts tags of the pair in the text, up to two.
int count_tags(std::string_view text, const tag& t) {
  int n = 0;
  for (auto* x : {&t.open, &t.close})
    for (auto at = find_tag(text, *x, 0); at != std::string_view::npos && n < 2; at = find_tag(text, *x, at + 1))
      ++n;
  return n;
}

/// Whether a line opens or closes a code fence.
bool is_fence(std::string_view line) {
  auto x = trimmed(line);
  return x.starts_with("```") || x.starts_with("~~~");
}

} // namespace

void thinking_filter::feed(std::string_view piece, parts& to) {
  if (state_ == state::text) {
    to.text.append(piece);
    return;
  }
  held_.append(piece);
  run(to, false);
}

void thinking_filter::finish(parts& to) {
  run(to, true);
  state_ = state::text;
}

void thinking_filter::run(parts& to, bool last) {
  std::size_t at = 0;
  while (state_ != state::text && (state_ == state::inside ? in_block(at, to, last) : at_start(at, to, last)))
    ;
  held_.erase(0, at);
}

/// Before the text: white space, then perhaps a tag. White space after a block goes with the block. Returns whether a tag was
/// passed.
bool thinking_filter::at_start(std::size_t& at, parts& to, bool last) {
  auto first = held_.find_first_not_of(blanks, at);
  if (first == std::string::npos) {
    if (state_ == state::start && last)
      to.text.append(held_, at);
    if (state_ == state::after || last)
      at = held_.size();
    return false;
  }
  auto rest = std::string_view(held_).substr(first);
  bool perhaps = false;
  for (auto& t : tags) {
    if (begins(rest, t.open, false)) {
      at = first + t.open.size();
      close_ = t.close;
      state_ = close_.empty() ? state::after : state::inside;
      return true;
    }
    perhaps = perhaps || begins(rest, t.open, true);
  }
  if (perhaps && !last)
    return false;
  to.text.append(held_, state_ == state::after ? first : at);
  at = held_.size();
  state_ = state::text;
  return false;
}

/// Returns whether the block was closed.
bool thinking_filter::in_block(std::size_t& at, parts& to, bool last) {
  if (auto end = find_tag(held_, close_, at); end != std::string::npos) {
    to.reasoning.append(held_, at, end - at);
    at = end + close_.size();
    state_ = state::after;
    return true;
  }
  auto keep = last ? 0 : std::min(held_.size() - at, close_.size() - 1);
  while (keep > 0 && !begins(std::string_view(held_).substr(held_.size() - keep), close_, true))
    --keep;
  to.reasoning.append(held_, at, held_.size() - keep - at);
  at = held_.size() - keep;
  return false;
}

void move_untagged(std::string& text, std::string& reasoning) {
  bool fenced = false;
  std::string_view all = text;
  for (std::size_t at = 0; at < all.size();) {
    auto end = std::min(all.find('\n', at), all.size());
    auto line = all.substr(at, end - at);
    auto first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && std::isalnum(static_cast<unsigned char>(line[first])) == 0) {
      if (is_fence(line))
        fenced = !fenced;
      auto bare = trimmed(line);
      auto i = std::find_if(std::begin(tags), std::end(tags), [&](auto& t) {
        return !t.close.empty() && t.close.size() == bare.size() && begins(bare, t.close, false);
      });
      if (i != std::end(tags) && !fenced) {
        if (count_tags(all, *i) == 1) {
          reasoning.append(text, 0, at);
          text.erase(0, std::min(text.find_first_not_of(blanks, end), text.size()));
        }
        return;
      }
    }
    at = end + 1;
  }
}

std::string without_thinking(const std::string& text) {
  thinking_filter filter;
  thinking_filter::parts out;
  filter.feed(text, out);
  filter.finish(out);
  move_untagged(out.text, out.reasoning);
  return std::move(out.text);
}

} // namespace conclave::wire
