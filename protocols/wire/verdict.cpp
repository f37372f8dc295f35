// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/verdict.hpp"

#include "protocols/wire/arguments.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/resolve.hpp"
#include "protocols/wire/thinking.hpp"

#include <algorithm>
#include <string_view>

namespace conclave::wire {

namespace {

std::string list(const std::vector<std::string>& ids) {
  std::string out;
  for (auto& id : ids)
    out += (out.empty() ? "" : ", ") + id;
  return out;
}

bool blank(const std::string& x) {
  return x.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
}

json object_schema(json properties, json required) {
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

/// Gives every workflow and unknown call the same kind of error result.
judgement reject(const completion& c, const std::vector<std::string>& known, const std::string& text) {
  judgement j;
  bool first = true;
  for (auto& call : c.calls) {
    if (std::find(known.begin(), known.end(), call.name) != known.end())
      continue;
    j.results.push_back({call.id, first ? "Error: " + text : "Error: rejected together with the call before it.", true});
    first = false;
  }
  if (j.results.empty())
    j.correction = text;
  return j;
}

/// The arguments inside a call that was written out: {"name": "vote", "parameters": {...}}, {"arguments": "{...}"}.
json unwrapped(json v, const tool_call& call, const char* wanted) {
  for (int i = 0; i < 3 && !v.contains(wanted); ++i) {
    std::optional<json> inner;
    for (auto* key : {"arguments", "parameters", "args", "input", call.name.c_str()})
      if (auto* x = member(v, key); x != nullptr && !inner)
        inner = x->is_object() ? *x : x->is_string() ? read_arguments(x->get<std::string>(), reading::best) : std::nullopt;
    if (!inner)
      break;
    v = std::move(*inner);
  }
  return v;
}

/// The arguments of a verdict: read as leniently as can be, for the call is paid and asking again brings the same fault.
std::optional<json> arguments_of(const tool_call& call) {
  auto* wanted = call.name == "vote" ? "agent_id" : "content";
  if (auto v = read_arguments(call.arguments, reading::best))
    return unwrapped(std::move(*v), call, wanted);
  auto text = parse(call.arguments, true); // the one member that matters, without its object
  if (text)
    return text->is_string() ? std::optional<json>(json{{wanted, *text}}) : std::nullopt;
  // Words alone were meant as the member, unless they begin like something that was to be read: an object, a tag, content="...".
  auto first = call.arguments.find_first_not_of(" \t\r\n");
  auto words = first != std::string::npos && std::string_view("{[\"'`<").find(call.arguments[first]) == std::string_view::npos
               && call.arguments.compare(first, std::char_traits<char>::length(wanted), wanted) != 0
               && call.arguments.find_first_of(" \t\n", first) != std::string::npos;
  return words ? std::optional<json>(json{{wanted, valid_utf8(call.arguments.substr(first))}}) : std::nullopt;
}

/// An answer as a string, or as the list of parts that messages are made of.
std::string answer_text(const json& arguments) {
  auto* content = member(arguments, "content");
  if (content == nullptr || !content->is_structured())
    return string_at(arguments, "content");
  std::string out;
  for (auto& part : content->is_array() ? *content : json::array({*content}))
    out += part.is_string() ? part.get<std::string>() : string_at(part, "text");
  return out;
}

std::string what_may_be_done(const choice& may) {
  if (may.ids.empty())
    return "Call new_answer once with your complete answer as `content`.";
  if (!may.may_answer)
    return "Call vote once; valid ids: " + list(may.ids) + ".";
  return "Call exactly one of: new_answer with a complete, better answer; vote with one of " + list(may.ids) + ".";
}

} // namespace

std::vector<tool_spec> workflow_tools(const choice& c) {
  std::vector<tool_spec> out;
  if (c.may_answer)
    out.push_back(
        {"new_answer", "Hand in a complete answer to the user's message that is better than every current one.",
         dump(object_schema(
             {{"content", {{"type", "string"}, {"description", "The whole answer. If you used tools, say what they gave."}}}},
             {"content"}))});
  if (!c.ids.empty())
    out.push_back(
        {"vote", "Vote for the answer that should be presented to the user.",
         dump(object_schema({{"agent_id", {{"type", "string"}, {"enum", c.ids}, {"description", "Whose answer is best."}}},
                             {"reason", {{"type", "string"}, {"description", "Why, in one or two sentences."}}}},
                            {"agent_id", "reason"}))});
  return out;
}

bool is_workflow_tool(const std::string& name) {
  return name == "new_answer" || name == "vote";
}

judgement judge(const completion& c, const choice& may, const std::vector<std::string>& known) {
  std::vector<const tool_call*> votes, answers;
  for (auto& call : c.calls) {
    if (call.name == "vote")
      votes.push_back(&call);
    else if (call.name == "new_answer")
      answers.push_back(&call);
  }
  if (votes.size() > 1)
    return reject(c, known,
                  "You made " + std::to_string(votes.size()) + " vote calls; exactly one is possible. " + what_may_be_done(may));
  if (!votes.empty() && !answers.empty())
    return reject(c, known, "You voted and handed in an answer at once. " + what_may_be_done(may));
  if (votes.empty() && answers.empty()) {
    if (c.calls.empty())
      return reject(c, known, "You did not finish with a tool call. " + what_may_be_done(may));
    return reject(c, known, "There is no such tool. " + what_may_be_done(may));
  }
  auto& call = votes.empty() ? *answers.front() : *votes.front();
  auto arguments = arguments_of(call);
  if (!arguments)
    return reject(c, known,
                  call.name == "new_answer" && c.status == completion_status::truncated
                      ? "Your answer was cut by the token limit before it was complete. Hand in a shorter one."
                      : "The arguments of " + call.name + " are not a valid JSON object. Send the call again.");
  judgement j;
  j.handed_in.step = "tools";
  if (votes.empty()) {
    if (!may.may_answer)
      return reject(c, known, "No further answer of yours is accepted. " + what_may_be_done(may));
    if (c.status == completion_status::truncated)
      return reject(c, known, "Your answer was cut by the token limit before it was complete. Hand in a shorter one.");
    j.handed_in.kind = verdict_kind::answer;
    j.handed_in.text = without_thinking(answer_text(*arguments));
    if (blank(j.handed_in.text) && member(*arguments, "content") == nullptr)
      j.handed_in.text = c.text; // the answer was streamed beside the call
    if (blank(j.handed_in.text))
      return reject(c, known, "The answer is blank. Put the complete answer into `content`.");
  } else {
    if (may.ids.empty())
      return reject(c, known, "There is nothing to vote for yet. Use new_answer.");
    j.handed_in.kind = verdict_kind::vote;
    j.handed_in.target = resolve_agent(string_at(*arguments, "agent_id"), may.ids);
    j.handed_in.reason = string_at(*arguments, "reason");
    if (blank(j.handed_in.target))
      return reject(c, known, "The vote names nobody. Valid ids: " + list(may.ids) + ".");
  }
  j.ok = true;
  for (auto& other : c.calls)
    if (&other != &call && std::find(known.begin(), known.end(), other.name) == known.end())
      j.ignored.push_back({other.id,
                           is_workflow_tool(other.name) ? "Ignored: only the first " + other.name + " of a reply is taken."
                                                        : "Error: there is no tool named '" + other.name + "'.",
                           true});
  return j;
}

namespace {

std::string_view bare(std::string_view x, const char* dress) {
  auto first = x.find_first_not_of(dress);
  return first == std::string_view::npos ? std::string_view{} : x.substr(first, x.find_last_not_of(dress) - first + 1);
}

/// Follows the fences of Markdown: ``` or ~~~, closed by a line of at least as many of the same.
struct fences {
  char mark = 0; ///< of the open one, 0 = none
  std::size_t length = 0;

  /// Returns whether the line opens or closes one.
  bool feed(std::string_view line) {
    auto x = bare(line, " \t\r>"); // one inside of a quote is one too
    if (x.empty() || (x.front() != '`' && x.front() != '~'))
      return false;
    auto n = std::min(x.find_first_not_of(x.front()), x.size());
    auto info = x.substr(n);
    if (mark == 0) {
      if (n < 3 || info.find(x.front()) != std::string_view::npos) // ```VOTE: agent1``` is one line of code
        return false;
      mark = x.front();
      length = n;
      return true;
    }
    if (x.front() != mark || n < length || !info.empty())
      return false;
    mark = 0;
    return true;
  }
};

/// The one line of a reply that may be its verdict: the only one, or the last where nothing marks it as quoted (a fence, indented
/// code, the end of a quotation that began above; `>` and `| ` at its start are no dress anyway). An answer may speak of votes.
std::string_view verdict_line(std::string_view text) {
  std::string_view last;
  auto lines = 0;
  auto fenced = false;
  fences open;
  for (std::size_t at = 0; at <= text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    if (bare(line, " \t\r\v\f").empty())
      continue;
    auto inside = open.mark != 0;
    if (open.feed(line)) {
      fenced = true;
      continue;
    }
    ++lines;
    last = line;
    fenced = inside;
  }
  if (lines <= 1)
    return last;
  auto code = last.starts_with("    ") || last.starts_with("\t") || last.starts_with(" \t") || last.starts_with("  \t")
              || last.starts_with("   \t");
  return fenced || code ? std::string_view{} : last;
}

/// Whether a span of code that began above ends here. Its marks are runs of any length.
bool ends_code(std::string_view line) {
  auto runs = 0;
  for (std::size_t i = 0; i < line.size(); ++i)
    runs += line[i] == '`' && (i == 0 || line[i - 1] != '`') ? 1 : 0;
  return runs % 2 != 0 && bare(line, " \t\r*_.,;:!()[]<>").ends_with('`');
}

/// Whom a line votes for, empty if it is no vote. Small models dress it up: **VOTE:** agent1, VOTE: <agent1>., VOTE: `agent1`
std::string voted(std::string_view line, const std::vector<std::string>& ids) {
  if (ends_code(line))
    return {};
  line = bare(line, " \t\r*_`");
  if (!line.starts_with("VOTE:") && !line.starts_with("Vote:"))
    return {};
  auto rest = bare(line.substr(5), " \t\r*_`");
  for (auto quote : {'"', '\''}) // one that only ends here began above
    if (bare(rest, ".,;:!()[]<>").ends_with(quote) && std::count(rest.begin(), rest.end(), quote) % 2 != 0)
      return {};
  auto id = resolve_agent(std::string(bare(rest, " \t\r*_`\"'<>[]().")), ids);
  return std::find(ids.begin(), ids.end(), id) != ids.end() ? id : std::string{};
}

} // namespace

std::string decision_schema(const choice& c) {
  json actions = json::array();
  if (!c.ids.empty())
    actions.push_back("vote");
  if (c.may_answer)
    actions.push_back("new_answer");
  // nlohmann sorts keys and "action" comes before "agent_id": the model decides what before whom.
  json properties = {{"action", {{"type", "string"}, {"enum", actions}}}};
  json required = {"action"};
  if (!c.ids.empty()) {
    properties["agent_id"] = {{"type", "string"}, {"enum", c.ids}};
    required.push_back("agent_id");
  }
  return dump(object_schema(properties, required));
}

decided read_decision(const std::string& whole, const choice& c) {
  decided out;
  auto take = [&](const json& v) {
    if (member(v, "action") == nullptr)
      return false; // perhaps inside: {"decision": {...}}
    auto action = string_at(v, "action");
    auto id = resolve_agent(string_at(v, "agent_id"), c.ids);
    if (action == "vote" && std::find(c.ids.begin(), c.ids.end(), id) != c.ids.end())
      out = {decision_kind::vote, id};
    else if (action == "new_answer" && c.may_answer)
      out = {decision_kind::answer, ""};
    return true;
  };
  // String-aware brace matching; the last valid object wins. A decision is short: of a long text only the end is read, and starts
  // are capped, so that "{{{{..." costs little.
  constexpr std::size_t tail = std::size_t{64} * 1024;
  auto text = whole.size() > tail ? whole.substr(whole.size() - tail) : whole;
  int starts = 0;
  for (std::size_t i = 0; i < text.size() && starts < 256; ++i) {
    if (text[i] != '{')
      continue;
    ++starts;
    int depth = 0;
    bool in_string = false;
    for (auto k = i; k < text.size(); ++k) {
      if (in_string) {
        if (text[k] == '\\')
          ++k;
        else if (text[k] == '"')
          in_string = false;
      } else if (text[k] == '"') {
        in_string = true;
      } else if (text[k] == '{') {
        ++depth;
      } else if (text[k] == '}' && --depth == 0) {
        if (auto v = parse(std::string_view(text).substr(i, k - i + 1))) {
          if (take(*v))
            i = k;
        }
        break;
      }
    }
  }
  return out;
}

decided read_text(const std::string& text, const choice& c) {
  if (auto id = voted(verdict_line(text), c.ids); !id.empty())
    return {decision_kind::vote, id};
  return {c.may_answer && !blank(text) ? decision_kind::answer : decision_kind::unclear, ""};
}

} // namespace conclave::wire
