// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/what_if_text.hpp"

#include "app/plain_text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t most_notes = 20; ///< of the text; the JSON has all

std::string list_of(const std::vector<std::string>& ids) {
  std::string out;
  for (const auto& id : ids)
    out += (out.empty() ? "" : ", ") + one_line(id, 60);
  return out;
}

std::string quoted(const std::string& id) {
  return "'" + one_line(id, 60) + "'";
}

std::string at(std::uint64_t seq) {
  return "event " + std::to_string(seq);
}

/// An agent with its answer.
std::string with_answer(const std::string& agent, const std::string& label, std::uint64_t seq) {
  if (seq == 0)
    return quoted(agent) + " without a stored answer";
  return quoted(agent) + " with " + (label.empty() ? "the answer refused at " + at(seq) : one_line(label));
}

std::string rules_text(const what_if_report& r) {
  std::string out;
  for (const auto& c : r.changes.judged)
    out += "  " + c.path + ": " + one_line(c.now, 60) + " (was " + one_line(c.then, 60) + ")\n";
  if (r.order != r.then_order)
    out += "  ties go to the first of: " + list_of(r.order) + " (was " + list_of(r.then_order) + ")\n";
  const auto& unjudged = r.changes.unjudged;
  out = !out.empty() ? "Other rules:\n" + out : unjudged.empty() ? "The rules are those of the task.\n" : "";
  if (!unjudged.empty()) {
    out += "Not judged, for what agents would have said then is in no log:\n";
    for (std::size_t i = 0; i < std::min(unjudged.size(), most_notes); ++i)
      out += "  " + one_line(unjudged[i]) + "\n";
    if (unjudged.size() > most_notes)
      out += "  and " + std::to_string(unjudged.size() - most_notes) + " more (--json has all)\n";
  }
  if (!r.strangers.empty())
    out += "Not in the task, and left out: " + list_of(r.strangers) + "\n";
  return out;
}

std::string notes_text(const ledger::what_if& w, bool all_judged) {
  if (w.notes.empty())
    return std::string{all_judged ? "Nothing" : "By the rules that were judged nothing"}
           + " would have gone another way until the winner is chosen.\n";
  std::string out = "What would have gone another way:\n";
  for (std::size_t i = 0; i < std::min(w.notes.size(), most_notes); ++i)
    out += "  " + at(w.notes[i].seq) + ": " + one_line(w.notes[i].text) + "\n";
  if (w.notes.size() > most_notes)
    out += "  and " + std::to_string(w.notes.size() - most_notes) + " more (--json has all)\n";
  return out;
}

std::string answers_text(const ledger::what_if& w) {
  std::string out;
  for (const auto& a : w.answers)
    out += "  " + with_answer(a.agent, a.label, a.seq) + ": " + count_of(a.voters.size(), "vote")
           + (a.voters.empty() ? "" : " (" + list_of(a.voters) + ")")
           + (a.votes_then != a.voters.size() ? ", in the log " + std::to_string(a.votes_then) : "") + "\n";
  return out.empty() ? out : "Votes that count:\n" + out;
}

std::string winner_text(const ledger::what_if& w) {
  auto then =
      w.then_winner.empty() ? std::string{"nobody"} : with_answer(w.then_winner, w.then_label, w.then_label.empty() ? 0 : 1);
  std::string out;
  if (w.chosen()) {
    auto same = w.winner == w.then_winner && w.label == w.then_label;
    out = "Winner: " + with_answer(w.winner, w.label, w.seq) + " (" + w.how + ")"
          + (same ? ", as in the log" : "; in the log: " + then) + "\n";
    if (!w.tied.empty())
      out += "  a tie of " + list_of(w.tied) + ": the first in the order of the agents\n";
  } else {
    out = "No winner: " + one_line(w.none) + "; in the log: " + then + "\n";
    if (!w.leading.empty())
      out += "  " + quoted(w.leading) + " would be chosen if coordination had ended there\n";
  }
  if (w.known_until > 0)
    out += "From " + at(w.known_until) + " on the log can tell no more: this is the outcome among what it holds.\n";
  return out;
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts)
    out += (out.empty() ? "" : ",") + wire::quote(text);
  return "[" + out + "]";
}

std::string member(const char* name, const std::string& text) {
  return ",\"" + std::string{name} + "\":" + wire::quote(text);
}

std::string number(const char* name, std::uint64_t n) {
  return ",\"" + std::string{name} + "\":" + std::to_string(n);
}

} // namespace

std::string what_if_text(const what_if_report& r) {
  return "Hypothetical: task " + one_line(r.task) + " under the rules of " + one_line(r.file)
         + ", by its log alone. No model was asked, nothing is changed.\n" + rules_text(r)
         + notes_text(r.result, r.changes.unjudged.empty()) + answers_text(r.result) + winner_text(r.result);
}

std::string what_if_json(const what_if_report& r) {
  const auto& w = r.result;
  std::string rules, answers, notes;
  for (const auto& c : r.changes.judged)
    rules +=
        (rules.empty() ? "{\"key\":" : ",{\"key\":") + wire::quote(c.path) + member("then", c.then) + member("now", c.now) + "}";
  for (const auto& a : w.answers)
    answers += (answers.empty() ? "{\"agent\":" : ",{\"agent\":") + wire::quote(a.agent) + member("label", a.label)
               + number("event", a.seq) + number("votes", a.voters.size()) + ",\"voters\":" + json_list(a.voters)
               + number("votes_then", a.votes_then) + "}";
  for (const auto& n : w.notes)
    notes += (notes.empty() ? "{\"event\":" : ",{\"event\":") + std::to_string(n.seq) + member("text", n.text)
             + ",\"in_log\":" + (n.gap ? "false" : "true") + "}";
  return "{\"hypothetical\":true" + member("task", r.task) + member("file", r.file) + ",\"rules\":[" + rules
         + "],\"order\":" + json_list(r.order) + ",\"not_judged\":" + json_list(r.changes.unjudged)
         + ",\"left_out\":" + json_list(r.strangers) + member("winner", w.winner) + member("answer", w.label)
         + number("event", w.seq) + member("how", w.how) + ",\"tied\":" + json_list(w.tied) + member("no_winner", w.none)
         + member("leading", w.leading) + ",\"complete\":" + (w.known_until == 0 ? "true" : "false")
         + number("known_until", w.known_until) + ",\"then\":{\"winner\":" + wire::quote(w.then_winner)
         + member("answer", w.then_label) + "},\"answers\":[" + answers + "],\"notes\":[" + notes + "]}\n";
}

} // namespace conclave
