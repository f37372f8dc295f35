// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// A run's state and what was said in it as JSON. One table of members per struct serves writing and reading, so that none is
// written and not read.

#include "protocols/run_state.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json_fields.hpp"

#include <string_view>
#include <utility>

namespace conclave {

namespace wire {

// f(name, member, its default, of an enum the last value). Names and the numbers of enums are what is stored: never change one.
// The lists repeat each other's shape and some names: each struct's list is its stored format and stays in one piece.

template <>
struct fields<tool_call> {
  static void visit(auto& f, auto& x, const tool_call& d) {
    f("id", x.id, d.id);
    f("name", x.name, d.name);
    f("arguments", x.arguments, d.arguments);
  }
};

template <>
struct fields<content_part> {
  static void visit(auto& f, auto& x, const content_part& d) {
    f("kind", x.kind, d.kind, content_kind::json);
    f("text", x.text, d.text);
    f("media_type", x.media_type, d.media_type);
    f("data", x.data, d.data);
    f("uri", x.uri, d.uri);
  }
};

template <>
struct fields<tool_result> {
  static void visit(auto& f, auto& x, const tool_result& d) {
    f("id", x.id, d.id);
    f("text", x.text, d.text);
    f("is_error", x.is_error, d.is_error);
    f("parts", x.parts, d.parts);
  }
};

template <>
struct fields<message> {
  static void visit(auto& f, auto& x, const message& d) {
    f("from", x.from, d.from, role::tool);
    f("text", x.text, d.text);
    f("reasoning", x.reasoning, d.reasoning);
    f("calls", x.calls, d.calls);
    f("tool_call_id", x.tool_call_id, d.tool_call_id);
    f("is_error", x.is_error, d.is_error);
    f("opaque", x.opaque, d.opaque);
    f("opaque_dialect", x.opaque_dialect, d.opaque_dialect);
    f("parts", x.parts, d.parts);
  }
};

template <>
struct fields<usage> {
  static void visit(auto& f, auto& x, const usage& d) {
    for (auto& [name, count] : usage_counts)
      f(name, x.*count, d.*count);
  }
};

template <>
struct fields<completion> {
  static void visit(auto& f, auto& x, const completion& d) {
    f("status", x.status, d.status, completion_status::paused);
    f("text", x.text, d.text);
    f("reasoning", x.reasoning, d.reasoning);
    f("calls", x.calls, d.calls);
    f("usage", x.usage, d.usage);
    f("code", x.code, d.code, ec::unknown);
    f("error", x.error, d.error);
    f("retry_after_ms", x.retry_after_ms, d.retry_after_ms);
    f("semantic", x.semantic, d.semantic);
    f("retryable_hint", x.retryable_hint, d.retryable_hint);
    f("retry_asked", x.retry_asked, d.retry_asked);
    f("opaque", x.opaque, d.opaque);
    f("opaque_dialect", x.opaque_dialect, d.opaque_dialect);
    f("finish", x.finish, d.finish);
    f("said", x.said, d.said);
    f("model_fault", x.model_fault, d.model_fault);
    f("polls", x.polls, d.polls);
  }
};

template <>
struct fields<run::memory> {
  static void visit(auto& f, auto& x, const run::memory& d) {
    f("saw_tools", x.saw_tools, d.saw_tools);
    f("learned_budget", x.learned_budget, d.learned_budget);
    f("decision_room", x.decision_room, d.decision_room);
    f("round", x.round, d.round);
    f("kind", x.kind, d.kind, run_kind::present);
    f("vain", x.vain, d.vain);
    f("vain_code", x.vain_code, d.vain_code, ec::unknown);
    f("vain_error", x.vain_error, d.vain_error);
    f("backend", x.backend, d.backend);
    f("left", x.left, d.left);
  }
};

template <>
struct fields<start_run> {
  static void visit(auto& f, auto& x, const start_run& d) {
    f("task", x.task, d.task);
    f("fence", x.fence, d.fence);
    f("agent", x.agent, d.agent);
    f("run", x.run, d.run);
    f("round", x.round, d.round);
    f("epoch", x.epoch, d.epoch);
    f("first_call", x.first_call, d.first_call);
    f("kind", x.kind, d.kind, run_kind::present);
    f("answers", x.answers, d.answers);
    f("may_answer", x.may_answer, d.may_answer);
    f("may_vote", x.may_vote, d.may_vote);
    f("own_id", x.own_id, d.own_id);
    f("votes", x.votes, d.votes);
    f("tie", x.tie, d.tie);
    f("now_ms", x.now_ms, d.now_ms);
    f("snapshot", x.snapshot, d.snapshot);
    f("again", x.again, d.again);
  }
};

template <>
struct fields<shown_answer> {
  static void visit(auto& f, auto& x, const shown_answer& d) {
    f("id", x.id, d.id);
    f("label", x.label, d.label);
    f("snapshot", x.snapshot, d.snapshot);
  }
};

template <>
struct fields<run::pending_call> {
  static void visit(auto& f, auto& x, const run::pending_call& d) {
    f("at", x.at, d.at);
    f("number", x.number, d.number);
    f("first", x.first, x.number);
    f("stage", x.stage, d.stage, run::call_stage::on_hold);
    f("policy", x.policy, d.policy);
    f("cleared", x.cleared, d.cleared);
    if (x.number == 0) // else the log has it
      f("result", x.result, d.result);
  }
};

template <>
struct fields<run::long_result> {
  static void visit(auto& f, auto& x, const run::long_result& d) {
    f("id", x.id, d.id);
    f("call", x.call, d.call);
  }
};

template <>
struct fields<verdict> {
  static void visit(auto& f, auto& x, const verdict& d) {
    f("kind", x.kind, d.kind, verdict_kind::presented);
    if (x.kind == verdict_kind::failed) // else the reply has it, in the log
      f("text", x.text, d.text);
    f("target", x.target, d.target);
    f("reason", x.reason, d.reason);
    f("code", x.code, d.code, ec::unknown);
    f("truncated", x.truncated, d.truncated);
    f("step", x.step, d.step);
    f("files", x.files, d.files);
  }
};

template <>
struct fields<run::state> {
  static void visit(auto& f, auto& x, const run::state& d) {
    f("memory", x.memory, d.memory);
    f("task", x.task, d.task);
    f("stage", x.stage, d.stage, run::stage::snapshot);
    f("cancelled", x.cancelled, d.cancelled);
    f("restarted", x.restarted, d.restarted);
    f("kept", x.kept, d.kept);
    f("ladder", x.step, d.step, prompts::ladder::text);
    f("ladder_fixed", x.ladder_fixed, d.ladder_fixed);
    f("budget_bytes", x.budget_bytes, d.budget_bytes);
    f("want", x.want, d.want, run::asked_for::presentation);
    f("attempt", x.attempt, d.attempt);
    f("bare_replies", x.bare_replies, d.bare_replies);
    f("iterations", x.iterations, d.iterations);
    f("overflows", x.overflows, d.overflows);
    f("pauses", x.pauses, d.pauses);
    f("last_asked", x.last_asked, d.last_asked);
    f("repeats", x.repeats, d.repeats);
    f("calls", x.calls, d.calls);
    f("model_call", x.model_call, d.model_call);
    f("reply_call", x.reply_call, d.reply_call);
    f("names", x.names, d.names);
    f("lead", x.lead, d.lead);
    f("pending", x.pending, d.pending);
    f("long_results", x.long_results, d.long_results);
    f("reports", x.reports, d.reports);
    f("awaited", x.awaited, d.awaited);
    f("handing_in", x.handing_in, d.handing_in);
    f("handed_in", x.handed_in, d.handed_in);
    f("answers_call", x.answers_call, d.answers_call);
    f("said", x.said, d.said);
    f("partial", x.partial, d.partial);
    f("policy", x.policy, d.policy);
    f("workspace", x.workspace, d.workspace);
    f("snapshot", x.snapshot, d.snapshot);
  }
};

} // namespace wire

namespace run {

namespace {

/// Of a message, a completion, a result.
constexpr int body_version = 1;

template <class T>
std::string write(const T& x, int version, const keeper* keep) {
  wire::field_writer w{keep};
  w.members(x);
  w.out["v"] = version;
  return wire::dump(w.out);
}

/// Returns whether `text` held a T; else `error` says why. `what` names it for a person.
template <class T>
bool read(const std::string& text, const char* what, int newest, const finder* find, T& to, std::string& error) {
  auto bad = [&](const std::string& why) {
    error = std::string(what) + ": " + why;
    return false;
  };
  if (text.size() > max_body)
    return bad("it takes more than " + std::to_string(max_body) + " bytes");
  auto v = wire::parse(text, true);
  if (!v || !v->is_object())
    return bad("it is no JSON object");
  auto* version = wire::member(*v, "v");
  if (version == nullptr || !version->is_number_integer() || *version < 1)
    return bad("it has no version");
  if (*version > newest)
    return bad("it has version " + wire::dump(*version) + ", this build reads up to " + std::to_string(newest)
               + ": use the newer build that wrote it");
  v->erase("v");
  wire::field_reader r;
  r.find = find;
  T out;
  r.members(*v, out, "");
  if (!r.error.empty())
    return bad(r.error);
  to = std::move(out);
  return true;
}

/// Nearly every body is a short one of ours. A resume reads those of all conversations.
template <class T>
bool read_flat(std::string_view text, T& to) {
  wire::flat_reader in(text);
  wire::flat_field_reader r{in};
  T out;
  r.members(out, true);
  if (!in.at_end() || r.version < 1 || r.version > body_version)
    return false;
  to = std::move(out);
  return true;
}

template <class T>
bool find_body(const std::string& sha, const char* what, const finder& find, T& out, std::string& error) {
  auto* text = find(sha);
  if (text == nullptr) {
    error = std::string(what) + ": the body " + sha.substr(0, 64) + " is not in the store";
    return false;
  }
  if (read_flat(*text, out))
    return true;
  return read(*text, what, body_version, &find, out, error);
}

void leave_out(wire::json& v, const std::string& path) {
  auto dot = path.find('.');
  auto member = v.find(path.substr(0, dot));
  if (member == v.end())
    return;
  if (dot == std::string::npos)
    v.erase(member);
  else
    leave_out(*member, path.substr(dot + 1));
}

wire::json members_of(const state& s, const std::vector<std::string>& but) {
  wire::field_writer w{nullptr};
  w.members(s);
  for (auto& path : but)
    leave_out(w.out, path);
  return std::move(w.out);
}

/// States are as deep as their structs.
std::string difference(const wire::json& stored, const wire::json& made, const std::string& path) {
  if (stored == made)
    return {};
  constexpr std::size_t most = 80;
  auto shown = [](const wire::json* v) { return v == nullptr ? "as by default" : shown_text(wire::dump(*v), most); };
  if (!stored.is_object() || !made.is_object())
    return "'" + path + "' is " + shown(&stored) + " in the log, " + shown(&made) + " in this build";
  auto inner = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  for (auto& [key, value] : stored.items()) {
    auto other = made.find(key);
    if (other == made.end())
      return "'" + inner(key) + "' is " + shown(&value) + " in the log, " + shown(nullptr) + " in this build";
    if (auto text = difference(value, *other, inner(key)); !text.empty())
      return text;
  }
  for (auto& [key, value] : made.items())
    if (!stored.contains(key))
      return "'" + inner(key) + "' is " + shown(nullptr) + " in the log, " + shown(&value) + " in this build";
  return {};
}

} // namespace

std::string difference(const state& stored, const state& made, const std::vector<std::string>& but) {
  return difference(members_of(stored, but), members_of(made, but), "");
}

std::string to_json(const state& s) {
  return write(s, state_version, nullptr);
}

bool from_json(const std::string& text, state& out, std::string& error) {
  return read(text, "run state", state_version, nullptr, out, error);
}

std::string keep_message(const message& m, const keeper& keep) {
  return keep(write(m, body_version, &keep));
}

bool find_message(const std::string& sha, const finder& find, message& out, std::string& error) {
  return find_body(sha, "message", find, out, error);
}

std::string keep_completion(const completion& c, const keeper& keep) {
  return keep(write(c, body_version, &keep));
}

bool find_completion(const std::string& sha, const finder& find, completion& out, std::string& error) {
  return find_body(sha, "completion", find, out, error);
}

std::string keep_result(const tool_result& r, const keeper& keep) {
  return keep(write(r, body_version, &keep));
}

bool find_result(const std::string& sha, const finder& find, tool_result& out, std::string& error) {
  return find_body(sha, "tool result", find, out, error);
}

std::string keep_file(const std::string& data, const keeper& keep) {
  content_part whole;
  whole.data = data;
  return keep(write(whole, body_version, &keep));
}

bool find_file(const std::string& sha, const finder& find, std::string& data, std::string& error) {
  content_part whole;
  if (!find_body(sha, "file", find, whole, error))
    return false;
  data = std::move(whole.data);
  return true;
}

std::vector<std::string> pieces_in(const std::string& body) {
  std::vector<std::string> out;
  if (body.find("\"sha\"") == std::string::npos) // most bodies have none: to know that they need not be parsed
    return out;
  auto v = wire::parse(body, true);
  std::vector<const wire::json*> todo;
  if (v)
    todo.push_back(&*v);
  while (!todo.empty()) {
    auto* x = todo.back();
    todo.pop_back();
    if (x->is_object() && x->size() == 1 && x->contains("sha")) {
      out.push_back(wire::string_at(*x, "sha"));
      continue;
    }
    if (x->is_structured())
      for (auto& m : *x)
        todo.push_back(&m);
  }
  return out;
}

} // namespace run

} // namespace conclave
