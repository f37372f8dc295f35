// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/task_lookup.hpp"

#include "app/plain_text.hpp"
#include "protocols/config.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>

namespace conclave {

std::string find_task(const std::vector<task_row>& rows, const std::string& wanted, std::string& error) {
  error.clear();
  if (rows.empty()) {
    error = "no tasks are stored yet";
    return {};
  }
  if (wanted == "last")
    return rows.front().task;
  std::vector<std::string> matches, ids;
  for (const auto& r : rows) {
    if (r.task == wanted)
      return r.task;
    if (!wanted.empty() && r.task.compare(0, wanted.size(), wanted) == 0)
      matches.push_back(r.task);
    ids.push_back(r.task);
  }
  if (matches.size() == 1)
    return matches.front();
  if (matches.empty()) {
    error = "no stored task '" + one_line(wanted, 80) + "'";
    auto near = nearest(wanted, ids);
    error += near.empty() ? "; conclave list shows what there is" : "; did you mean " + one_line(near, 80) + "?";
    return {};
  }
  constexpr std::size_t most = 10;
  error = "'" + one_line(wanted, 80) + "' fits " + count_of(matches.size(), "task") + ":";
  for (std::size_t i = 0; i < std::min(matches.size(), most); ++i)
    error += "\n  " + one_line(matches[i], 80);
  if (matches.size() > most)
    error += "\n  ... and " + std::to_string(matches.size() - most) + " more";
  return {};
}

bool is_resumable(const task_row& r) {
  return r.outcome.empty() && !r.live && r.log_version > 1 && !r.played;
}

std::string task_to_go_on_with(const std::vector<task_row>& rows, const std::function<bool(const task_row&)>& is_continued) {
  auto wants = [&](const task_row& r) {
    return r.outcome != "answered" && !r.played && (r.outcome.empty() || !is_continued || !is_continued(r));
  };
  auto own = [](const task_row& r) { return !r.played; };
  auto i = std::find_if(rows.begin(), rows.end(), wants);
  if (i == rows.end())
    i = std::find_if(rows.begin(), rows.end(), own);
  return i != rows.end() ? i->task : rows.empty() ? std::string{} : rows.front().task;
}

std::string why_not_for_real(const std::string& task) {
  return "task " + task
         + " was played from a recording: its programs and addresses are those of whoever recorded it, so nobody goes on with it "
           "here; see it: conclave show "
         + task + ", or play the recording again";
}

std::string which_task(const std::vector<task_row>& rows, const std::string& task) {
  if (rows.empty() || rows.front().task == task)
    return {};
  auto i = std::find_if(rows.begin(), rows.end(), [&](auto& r) { return r.task == task; });
  if (i == rows.end())
    return {};
  auto why = i->outcome == "answered" ? "the newest of your own" : "the newest without an answer";
  return std::string{"this is "} + why + ", task " + one_line(i->task, 60) + " (" + one_line(i->question, 60) + "); the newest is "
         + one_line(rows.front().task, 60);
}

namespace {

std::string outcome_of(const task_row& r) {
  return !r.outcome.empty() ? r.outcome : r.live ? "running" : "interrupted";
}

/// What became of what a task changes.
std::string files_of(const task_row& r, const task_deliveries& applied) {
  auto i = applied.find(r.task);
  if (i == applied.end() || i->second.empty())
    return {};
  auto& all = i->second;
  return std::all_of(all.begin(), all.end(), [](auto& p) { return p.undone(); }) ? "taken back" : "applied";
}

/// The same for programs: a member of an object, with the comma in front of it.
std::string applied_json(const task_row& r, const task_deliveries& applied) {
  auto i = applied.find(r.task);
  std::string out;
  if (i != applied.end())
    for (auto& p : i->second)
      out += (out.empty() ? "" : ",") + std::string{"{\"folder\":"} + wire::quote(shown_text(p.target, 4'096))
             + ",\"files\":" + std::to_string(p.files) + ",\"applied\":" + std::to_string(p.applied_ms)
             + (p.undone() ? ",\"undone\":" + std::to_string(p.undone_ms) : "") + "}";
  return out.empty() ? out : ",\"applied\":[" + out + "]";
}

} // namespace

std::string task_table(const std::vector<task_row>& rows, std::size_t width, const task_deliveries& applied) {
  if (rows.empty())
    return "no tasks are stored yet\n";
  std::size_t id_width = 4;
  for (const auto& r : rows)
    id_width = std::max(id_width, columns(one_line(r.task, 60)));
  auto pad = [](const std::string& text, std::size_t n) { return text + std::string(n - std::min(n, columns(text)), ' '); };
  auto line = [&](const std::string& id, const std::string& started, const std::string& outcome, const std::string& events,
                  const std::string& files, const std::string& question) {
    auto text = pad(id, id_width) + "  " + pad(started, 23) + "  " + pad(outcome, 11) + "  "
                + std::string(6 - std::min<std::size_t>(6, events.size()), ' ') + events + "  "
                + (applied.empty() ? "" : pad(files, 10) + "  ") + question;
    if (width > 0 && columns(text) > width)
      text = text.substr(0, prefix_within(text, width > 3 ? width - 3 : 1)) + "...";
    return text + "\n";
  };
  auto out = line("task", "started", "outcome", "events", "files", "question");
  for (const auto& r : rows)
    out += line(one_line(r.task, 60), utc(r.started_ms), is_resumable(r) ? "cut off" : one_line(outcome_of(r), 11),
                std::to_string(r.events), files_of(r, applied), (r.played ? "(played) " : "") + one_line(r.question));
  if (std::any_of(rows.begin(), rows.end(), is_resumable))
    out += "tasks that were cut off go on where they stood with: conclave resume TASK\n";
  return out;
}

std::string task_lines(const std::vector<task_row>& rows, const task_deliveries& applied) {
  std::string out;
  for (const auto& r : rows)
    out += "{\"task\":" + wire::quote(r.task) + ",\"started\":" + std::to_string(r.started_ms)
           + ",\"last\":" + std::to_string(r.last_ms) + ",\"events\":" + std::to_string(r.events)
           + ",\"outcome\":" + wire::quote(outcome_of(r)) + (is_resumable(r) ? ",\"resumable\":true" : "")
           + (r.played ? ",\"played\":true" : "") + applied_json(r, applied) + ",\"question\":" + wire::quote(r.question) + "}\n";
  return out;
}

std::string cut_off_notice(const std::vector<task_row>& rows) {
  auto own = std::find_if(rows.begin(), rows.end(), [](auto& r) { return !r.played; });
  if (own == rows.end() || !is_resumable(*own))
    return {};
  return "the last task was cut off (" + one_line(own->question, 60) + "): conclave resume " + one_line(own->task, 60)
         + " goes on with it";
}

bool is_task_id(const std::string& text) {
  auto plain = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), plain);
}

} // namespace conclave
