// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/thinking.hpp"

#include "protocols/text.hpp"

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

constexpr std::size_t max_attributes = 100; ///< bytes

/// The length of the tag at the beginning of `text`, 0 if it is none; `perhaps` is set where it could yet become one.
/// A tag like HTML's may hold blanks and attributes.
std::size_t length_of(std::string_view text, std::string_view with, bool& perhaps) {
  if (begins(text, with, false))
    return with.size();
  perhaps = perhaps || begins(text, with, true);
  auto name = with.substr(0, with.size() - std::min<std::size_t>(with.size(), 1));
  if (!with.starts_with('<') || with.find_first_of("|>") != name.size() || !begins(text, name, false) || text.size() == name.size()
      || blanks.find(text[name.size()]) == std::string_view::npos)
    return 0;
  auto end = text.substr(0, name.size() + max_attributes).find_first_of("<>", name.size());
  perhaps = perhaps || (end == std::string_view::npos && text.size() < name.size() + max_attributes);
  return end != std::string_view::npos && text[end] == '>' && text[end - 1] != '/' ? end + 1 : 0;
}

/// Where the first visible character stands, npos if none has come yet: a byte order mark and blanks of other kinds do not count.
std::size_t first_visible(std::string_view text, std::size_t at) {
  static constexpr std::string_view unseen[] = {"\xEF\xBB\xBF", "\xE2\x80\x8B", "\xC2\xA0"};
  while ((at = text.find_first_not_of(blanks, at)) != std::string_view::npos) {
    auto rest = text.substr(at);
    auto i = std::find_if(std::begin(unseen), std::end(unseen), [&](auto x) { return begins(rest, x, true); });
    if (i == std::end(unseen))
      return at;
    if (rest.size() < i->size())
      return std::string_view::npos;
    at += i->size();
  }
  return at;
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
  auto first = first_visible(held_, at);
  if (first == std::string::npos) {
    if (state_ == state::start && last)
      to.text.append(held_, at);
    if (last)
      at = held_.size();
    else if (state_ == state::after)
      at = std::min(held_.find_first_not_of(blanks, at), held_.size());
    return false;
  }
  auto rest = std::string_view(held_).substr(first);
  bool perhaps = false;
  for (auto& t : tags) {
    if (auto length = length_of(rest, t.open, perhaps); length > 0) {
      at = first + length;
      close_ = t.close;
      state_ = close_.empty() ? state::after : state::inside;
      return true;
    }
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
  auto all = std::string_view(held_);
  auto end = all.find(close_.front(), at);
  for (bool perhaps = false; end != std::string_view::npos; end = all.find(close_.front(), end + 1)) {
    if (auto length = length_of(all.substr(end), close_, perhaps); length > 0) {
      to.reasoning.append(held_, at, end - at);
      at = end + length;
      state_ = state::after;
      return true;
    }
    if (perhaps && !last)
      break;
    perhaps = false;
  }
  end = std::min(end, all.size());
  to.reasoning.append(held_, at, end - at);
  at = end;
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
