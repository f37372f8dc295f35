// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text.hpp"
#include "protocols/wire/error_kind.hpp"
#include "protocols/wire/refusal.hpp"
#include "protocols/wire/verdict.hpp"

#include <algorithm>
#include <cctype>

// What a refusal teaches about the tools of a request: how many, how long, which schema.

namespace conclave::wire {

namespace {

constexpr std::size_t default_description = 1024;

/// The numbers of a sentence, without those of a place in the request: "tools[70].function.description", "tools.70.custom".
std::vector<std::size_t> numbers_in(std::string_view text) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < text.size() && out.size() < 64;) {
    if (text[i] < '0' || text[i] > '9') {
      ++i;
      continue;
    }
    std::size_t n = 0;
    auto place = i > 0 && (text[i - 1] == '[' || text[i - 1] == '.' || text[i - 1] == '/');
    for (; i < text.size()
           && ((text[i] >= '0' && text[i] <= '9')
               || (text[i] == ',' && i + 1 < text.size() && std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0));
         ++i)
      if (text[i] != ',')
        n = std::min<std::size_t>(n * 10 + static_cast<std::size_t>(text[i] - '0'), 1'000'000'000);
    if (!place)
      out.push_back(n);
  }
  return out;
}

/// The tools that the text means: by index ("tools[3]", "tools.3.custom", "('body', 'tools', 3)", "function_declarations[3]"), or
/// by name where the name is quoted or follows the word.
std::set<std::size_t> culprits(const refusal& r) {
  std::set<std::size_t> out;
  for (std::string_view list : {"function_declarations", "functiondeclarations", "tools", "functions", "tool", "function"}) {
    for (auto end : ends_of(r.text, list)) {
      auto at = end;
      while (at < r.text.size() && at < end + 4 && std::string_view("[.'\"`, /#]():").find(r.text[at]) != std::string_view::npos)
        ++at;
      std::size_t n = 0, digits = 0;
      for (; at < r.text.size() && digits < 6 && r.text[at] >= '0' && r.text[at] <= '9'; ++at, ++digits)
        n = n * 10 + static_cast<std::size_t>(r.text[at] - '0');
      if (digits > 0 && at > end + digits && n < r.offered.size() && (at == r.text.size() || !is_name_char(r.text[at])))
        out.insert(n);
    }
    if (!out.empty())
      return out;
  }
  std::size_t longest = 0;
  for (std::size_t i = 0; i < r.offered.size(); ++i) {
    auto name = lower(r.offered[i]);
    for (auto end : ends_of(r.text, name)) {
      auto start = end - name.size();
      auto before = std::string_view(r.text).substr(0, start);
      auto marked = (!before.empty() && std::string_view("'\"`(:.").find(before.back()) != std::string_view::npos)
                    || before.ends_with("function ") || before.ends_with("tool ") || before.ends_with("tool: ")
                    || before.ends_with("function: ") || before.ends_with("tool name ") || name.find('_') != std::string::npos;
      if (marked && name.size() >= longest) {
        if (name.size() > longest)
          out.clear();
        longest = name.size();
        out.insert(i);
      }
    }
  }
  return out;
}

bool about_definitions(std::string_view text) {
  return says(text, {"schema", "parameters", "properties", "property", "description", "declaration", "tools", "functions",
                     "function.name", "function name", "tool name", "definition", "function '", "tool '", "function \"", "tool \"",
                     "function `", "tool `"})
         && !says(text, {"tool_call_id", "tool_use_id", "tool_result", "tool result"});
}

std::string learn_number(quirks& known, const refusal& r) {
  auto many = says(r.text, {"too many tools", "too many functions", "too many function", "number of tools", "tools limit"})
              || (says(r.text, {"tools", "functions", "function declarations", "function_declarations"})
                  && says(r.text, {"array too long", "array_above_max_length", "at most", "maximum number", "max number",
                                   "maximum of", "no more than", "more than", "exceeds the limit", "exceeds the maximum",
                                   "limit of", "maximum is", "up to", "tool limit", "max length", "exceeds max"}));
  if (!many || says(r.text, {"description", "schema", "name"}))
    return {};
  auto count = r.offered.size();
  std::size_t ours = 0, limit = 0;
  for (auto& name : r.offered)
    ours += is_workflow_tool(name) ? 1 : 0;
  for (auto n : numbers_in(r.text))
    if (n < count && n > limit)
      limit = n;
  if (limit == 0)
    limit = count / 2;
  if (limit >= count || limit < ours || count == ours || (known.max_tools > 0 && known.max_tools <= limit))
    return {};
  known.max_tools = limit;
  std::string gone;
  for (std::size_t i = 0, left = limit - ours; i < count; ++i)
    if (!is_workflow_tool(r.offered[i])) {
      if (left > 0)
        --left;
      else if (gone.size() < 200)
        gone += (gone.empty() ? "" : ", ") + r.offered[i];
      else if (!gone.ends_with("..."))
        gone += ", ...";
    }
  return "only " + std::to_string(limit) + " tools are offered, without " + gone;
}

} // namespace

std::string learn_tools(quirks& known, const refusal& r) {
  auto named = [&] { return says(r.text, {"invalid tool", "invalid function"}) && !culprits(r).empty(); };
  if (r.offered.empty() || (!about_definitions(r.text) && !named()))
    return {};
  if (says(r.text, {"non-empty for object", "must be non-empty", "should be non-empty"}) && !known.no_empty_parameters) {
    known.no_empty_parameters = true;
    return "tools without parameters are sent without a schema";
  }
  auto meant = culprits(r);
  if (says(r.text, {"description"})
      && says(r.text,
              {"too long", "at most", "maximum length", "max length", "max_length", "longer than", "exceed", "characters"})) {
    std::size_t limit = default_description;
    auto numbers = numbers_in(r.text);
    std::erase_if(numbers, [](auto n) { return n < 64; });
    if (!numbers.empty())
      limit = *std::min_element(numbers.begin(), numbers.end());
    if (known.max_description == 0 || limit < known.max_description) {
      known.max_description = limit;
      return "descriptions of tools are cut at " + std::to_string(limit) + " bytes";
    }
  }
  if (meant.empty())
    if (auto lesson = learn_number(known, r); !lesson.empty())
      return lesson;
  auto of_schema = says(r.text, {"schema", "parameters", "properties", "property", "declaration"});
  if (!known.simple_schemas && of_schema && (!meant.empty() || says(r.text, {"schema"}))) {
    known.simple_schemas = true;
    return "the tools' schemas are sent in a simpler form";
  }
  std::set<std::string> gone;
  for (auto i : meant)
    for (auto& t : r.req.tools)
      if (t.name == r.offered[i] && !is_workflow_tool(t.name) && known.dropped.size() < max_learned
          && known.dropped.insert(tool_key(t)).second)
        gone.insert(t.name);
  return gone.empty() ? std::string{}
                      : std::string(gone.size() > 1 ? "the tools " : "the tool ") + quoted(gone)
                            + (gone.size() > 1 ? " are" : " is") + " left out";
}

} // namespace conclave::wire
