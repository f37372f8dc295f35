// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/delta_reader.hpp"

#include "protocols/wire/chat_turn.hpp"
#include "protocols/wire/long_string.hpp"

#include <algorithm>
#include <cmath>
#include <simdjson.h>

namespace conclave::wire {

namespace {

namespace od = simdjson::ondemand;

constexpr std::size_t max_delta_bytes = std::size_t{64} << 10; ///< of an event; a parser's memory is in proportion to the longest

static_assert(delta_padding >= simdjson::SIMDJSON_PADDING);

/// A string of the text as it stands there, without escapes: `text` ends at its closing quote. False where it has escapes.
bool bare_string(const char* from, std::string_view& text) {
  auto* at = from;
  while (*at != '"' && *at != '\\')
    ++at;
  text = {from, static_cast<std::size_t>(at - from)};
  return *at == '"';
}

/// Calls `on(key, value)` for each member until it returns false. Keys with escapes are refused.
template <class F>
bool each_member(od::object members, F on) {
  for (auto m : members) {
    od::raw_json_string raw;
    std::string_view key;
    od::value v;
    if (m.key().get(raw) || !bare_string(raw.raw(), key) || m.value().get(v) || !on(key, v))
      return false;
  }
  return true;
}

template <class F>
bool each_member(od::value& v, F on) {
  od::object members;
  return !v.get_object().get(members) && each_member(members, on);
}

bool is_null(od::value& v) {
  bool yes = false;
  return !v.is_null().get(yes) && yes;
}

/// A value that says nothing, whatever it is: looked at only to see that it is valid.
bool is_plain(od::value& v) {
  od::json_type type;
  if (v.type().get(type))
    return false;
  switch (type) {
  case od::json_type::string: {
    od::raw_json_string raw;
    std::string_view text;
    return !v.get_raw_json_string().get(raw) && bare_string(raw.raw(), text);
  }
  case od::json_type::number:
    return !v.get_number().error();
  case od::json_type::boolean:
    return !v.get_bool().error();
  case od::json_type::null:
    return is_null(v);
  case od::json_type::array: {
    od::array list;
    bool empty = false;
    return !v.get_array().get(list) && !list.is_empty().get(empty) && empty;
  }
  default:
    return false;
  }
}

bool read_whole(od::value& v, std::int64_t& to) {
  return !v.get_int64().get(to);
}

bool read_bare(od::value& v, std::string_view& to) {
  od::raw_json_string raw;
  return !v.get_raw_json_string().get(raw) && bare_string(raw.raw(), to);
}

/// Takes the one piece of an event: false for a second one. Null and an empty one are none.
bool take_piece(od::value& v, delta_kind kind, delta& to) {
  od::json_type type;
  std::string_view text;
  if (v.type().get(type))
    return false;
  if (type == od::json_type::null)
    return is_null(v);
  if (type != od::json_type::string || v.get_string().get(text))
    return false;
  if (text.empty())
    return true;
  if (!to.piece.empty())
    return false;
  to.kind = kind;
  to.piece = text;
  return true;
}

/// The one element of a list, if it has any; false for more.
template <class F>
bool only_element(od::value& v, F on) {
  od::array list;
  if (v.get_array().get(list))
    return false;
  std::size_t n = 0;
  for (auto e : list) {
    od::value element;
    if (++n > 1 || e.get(element) || !on(element))
      return false;
  }
  return true;
}

/// Members that say of an event, in some provider's form, that something went wrong.
bool may_be_error(std::string_view key) {
  return key == "error" || key == "x_groq" || key == "base_resp";
}

/// True once for each bit.
bool first(unsigned& seen, unsigned bit) {
  auto before = seen;
  seen |= bit;
  return (before & bit) == 0;
}

/// What stands for a long piece while the rest of its event is read.
constexpr std::string_view mark = "a long piece";

/// The event without its one long string, if that is what brings the piece.
std::string without_long_string(const std::string& data, delta& to) {
  auto text = find_long_string(data, max_delta_bytes / 2);
  to.from = static_cast<std::size_t>(text.data() - data.data());
  to.size = text.size();
  if (text.empty() || !simdjson::validate_utf8(text.data(), text.size()) || !is_sound_string(text))
    return {};
  auto before = std::string_view(data).substr(0, to.from), after = std::string_view(data).substr(to.from + to.size);
  for (auto part : {before, after}) // by an escape or as it is, nothing else may come to read like the mark
    if (part.find('\\') != std::string_view::npos || part.find(mark) != std::string_view::npos)
      return {};
  std::string out;
  out.reserve(before.size() + mark.size() + after.size() + delta_padding);
  return out.append(before).append(mark).append(after);
}

/// Calls `on` for each member of the event, and takes the event if all of it was fine and brought a piece.
template <class F>
bool read_event(std::string& data, delta& to, F on) {
  to.size = 0;
  if (data.size() > max_delta_bytes) {
    delta place;
    to.rest = without_long_string(data, place);
    if (to.rest.empty() || !read_event(to.rest, to, on) || to.piece != mark)
      return false;
    to.from = place.from;
    to.size = place.size;
    return true;
  }
  if (data.empty() || data.front() != '{' || data.back() != '}')
    return false;
  if (data.capacity() - data.size() < delta_padding)
    data.reserve(data.size() + delta_padding);
  thread_local od::parser parser;
  od::document doc;
  od::object root;
  to.piece.clear();
  if (parser.iterate(data.data(), data.size(), data.capacity()).get(doc) || doc.get_object().get(root) || !each_member(root, on))
    return false;
  const char* rest = nullptr; // nothing may follow the object
  return doc.current_location().get(rest) == simdjson::OUT_OF_BOUNDS && !to.piece.empty();
}

// -- Chat Completions --

bool chat_call(od::value& v, delta& to) {
  unsigned seen = 0;
  auto function = [&](std::string_view key, od::value& x) {
    if (key == "arguments")
      return first(seen, 4) && take_piece(x, delta_kind::arguments, to);
    std::string_view name;
    return is_null(x) || (key == "name" && read_bare(x, name) && name.empty());
  };
  auto read = each_member(v, [&](std::string_view key, od::value& x) {
    if (key == "index")
      return first(seen, 1) && read_whole(x, to.index);
    if (key == "function")
      return first(seen, 2) && each_member(x, function);
    std::string_view id;
    if (key == "type")
      return is_plain(x);
    return is_null(x) || (key == "id" && read_bare(x, id) && id.empty());
  });
  return read && seen == 7; // a call without a number is not told from others so simply
}

bool chat_choice(od::value& v, delta& to) {
  unsigned seen = 0;
  auto member = [&](std::string_view key, od::value& x) {
    if (key == "content")
      return first(seen, 1) && take_piece(x, delta_kind::text, to);
    if (key == "role")
      return is_plain(x);
    if (key == "tool_calls" && first(seen, 2))
      return is_null(x) || only_element(x, [&](od::value& call) { return chat_call(call, to); });
    if (auto* name = reasoning_field(key)) {
      auto read = take_piece(x, delta_kind::thought, to);
      if (!to.piece.empty() && to.kind == delta_kind::thought)
        to.field = name;
      return read;
    }
    return is_null(x);
  };
  auto read = each_member(v, [&](std::string_view key, od::value& x) {
    if (key == "delta")
      return first(seen, 4) && each_member(x, member);
    return key == "finish_reason" || key == "error" || key == "message" ? is_null(x) : is_plain(x);
  });
  return read && (seen & 4) != 0;
}

} // namespace

void claim_piece(std::string& data, delta& to) {
  if (to.size == 0)
    return;
  data.resize(to.from + to.size);
  data.erase(0, to.from);
  to.piece = std::move(data);
  data.clear();
  unescape(to.piece);
}

bool read_chat_delta(std::string& data, delta& to) {
  unsigned seen = 0;
  to.field.clear();
  return read_event(data, to, [&](std::string_view key, od::value& v) {
    if (key == "choices")
      return first(seen, 1) && only_element(v, [&](od::value& choice) { return chat_choice(choice, to); });
    return key == "usage" || may_be_error(key) ? is_null(v) : is_plain(v);
  });
}

// -- Messages --

bool read_anthropic_delta(std::string& data, delta& to) {
  unsigned seen = 0;
  std::string_view type, kind;
  to.index = 0;
  auto member = [&](std::string_view key, od::value& v) {
    if (key == "type")
      return first(seen, 8) && read_bare(v, kind);
    if (key == "text")
      return first(seen, 16) && take_piece(v, delta_kind::text, to);
    if (key == "thinking")
      return first(seen, 32) && take_piece(v, delta_kind::thought, to);
    if (key == "partial_json")
      return first(seen, 64) && take_piece(v, delta_kind::arguments, to);
    return is_plain(v);
  };
  auto read = read_event(data, to, [&](std::string_view key, od::value& v) {
    if (key == "type")
      return first(seen, 1) && read_bare(v, type);
    if (key == "index")
      return first(seen, 2) && read_whole(v, to.index);
    if (key == "delta")
      return first(seen, 4) && each_member(v, member);
    return may_be_error(key) || key == "object" ? is_null(v) : is_plain(v);
  });
  constexpr std::string_view kinds[] = {"text_delta", "thinking_delta", "input_json_delta"};
  return read && type == "content_block_delta" && kind == kinds[static_cast<std::size_t>(to.kind)];
}

// -- Responses --

bool read_responses_delta(std::string& data, delta& to) {
  unsigned seen = 0;
  std::string_view type, item;
  std::int64_t summary = 0, content = 0;
  to.index = 0;
  auto read = read_event(data, to, [&](std::string_view key, od::value& v) {
    if (key == "type")
      return first(seen, 1) && read_bare(v, type);
    if (key == "delta")
      return first(seen, 2) && take_piece(v, delta_kind::text, to);
    if (key == "item_id")
      return first(seen, 4) && read_bare(v, item);
    if (key == "output_index")
      return first(seen, 8) && read_whole(v, to.index);
    if (key == "summary_index")
      return first(seen, 16) && read_whole(v, summary);
    if (key == "content_index")
      return first(seen, 32) && read_whole(v, content);
    return may_be_error(key) || key == "object" ? is_null(v) : is_plain(v);
  });
  if (!read)
    return false;
  if (type == "response.output_text.delta")
    to.kind = delta_kind::text;
  else if (type == "response.function_call_arguments.delta")
    to.kind = delta_kind::arguments;
  else if (type == "response.reasoning_summary_text.delta" || type == "response.reasoning_text.delta")
    to.kind = delta_kind::thought;
  else
    return false;
  to.part = type == "response.reasoning_text.delta" ? content : summary;
  to.field = type;
  to.item = item;
  return true;
}

// -- Gemini --

namespace {

/// What the counts are made up of: looked at only to see that it is valid. Audio is counted apart, which is left to the dialect.
bool is_detail(od::value& v, int depth = 0) {
  od::json_type type;
  if (depth > 4 || v.type().get(type))
    return false;
  if (type == od::json_type::object)
    return each_member(v, [&](std::string_view, od::value& x) { return is_detail(x, depth + 1); });
  if (std::string_view text; type == od::json_type::string)
    return read_bare(v, text) && text != "AUDIO";
  if (type != od::json_type::array)
    return is_plain(v);
  od::array list;
  if (v.get_array().get(list))
    return false;
  for (auto e : list) {
    od::value element;
    if (e.get(element) || !is_detail(element, depth + 1))
      return false;
  }
  return true;
}

bool read_counts(od::value& v, delta& to) {
  to.counted = true;
  to.counts.fill(std::nan(""));
  return each_member(v, [&](std::string_view key, od::value& x) {
    auto i = std::find(gemini_count_names.begin(), gemini_count_names.end(), key);
    if (i == gemini_count_names.end())
      return is_detail(x);
    return !x.get_double().get(to.counts[static_cast<std::size_t>(i - gemini_count_names.begin())]);
  });
}

bool gemini_candidate(od::value& v, delta& to, bool& thinking) {
  unsigned seen = 0;
  auto part = [&](std::string_view key, od::value& x) {
    if (key == "text")
      return first(seen, 1) && take_piece(x, delta_kind::text, to);
    return key == "thought" && first(seen, 2) && !x.get_bool().get(thinking) && thinking;
  };
  auto content = [&](std::string_view key, od::value& x) {
    if (key == "parts")
      return first(seen, 4) && only_element(x, [&](od::value& p) { return each_member(p, part); });
    return is_plain(x);
  };
  std::int64_t index = 0;
  auto read = each_member(v, [&](std::string_view key, od::value& x) {
    if (key == "content")
      return first(seen, 8) && each_member(x, content);
    if (key == "index")
      return first(seen, 16) && read_whole(x, index);
    return key == "tokenCount" || key == "avgLogprobs" ? is_plain(x) : is_null(x);
  });
  return read && index == 0;
}

} // namespace

bool read_gemini_delta(std::string& data, delta& to) {
  unsigned seen = 0;
  bool thinking = false;
  to.counted = false;
  auto read = read_event(data, to, [&](std::string_view key, od::value& v) {
    if (key == "candidates")
      return first(seen, 1) && only_element(v, [&](od::value& c) { return gemini_candidate(c, to, thinking); });
    if (key == "usageMetadata")
      return first(seen, 2) && read_counts(v, to);
    if (key == "responseId") {
      std::string_view id;
      return first(seen, 4) && read_bare(v, id) && (to.item = id, true);
    }
    return key == "modelVersion" || key == "createTime" ? is_plain(v) : is_null(v);
  });
  to.kind = thinking ? delta_kind::thought : delta_kind::text;
  return read;
}

} // namespace conclave::wire
