// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Commands of an agent: judged by the user's lists, run in the sandbox of its run.

#include "actors/workspace_state.hpp"
#include "protocols/command_filter.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "protocols/workspace_paths.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace conclave {

namespace {

using namespace workspace_tools;
using path_policy::denial;

constexpr std::size_t max_jobs = 8;                            ///< in the background, at a time
constexpr std::size_t max_job_output = std::size_t{4} << 20;   ///< bytes of a stream of a job that are held
constexpr std::size_t max_shown_output = std::size_t{1} << 20; ///< that one read gives

tool_fault failed_in_sandbox(std::string why) {
  return {denial::sandbox, std::move(why)};
}

} // namespace

sandbox_profile profile_of(const workspace_state& st, sandbox_tier tier) {
  auto& parts = st.parts;
  sandbox_profile p;
  p.tier = tier;
  p.readable = parts.config.readable;
  p.readable.insert(p.readable.end(), st.borrowed.begin(), st.borrowed.end());
  p.hidden = st.hidden;
  for (auto& r : st.rules.roots) {
    auto is_in = [&r](const std::vector<std::string>& list) { return std::find(list.begin(), list.end(), r.path) != list.end(); };
    auto in_workspace = r.path.starts_with(workspace_paths::work(parts.place) + "/"); // its commands may write there anyway
    auto holds = [&r](const path_policy::root& w) { return w.writable && r.path.starts_with(w.path + "/"); };
    if (!r.writable && is_in(st.guarded) && std::any_of(st.rules.roots.begin(), st.rules.roots.end(), holds))
      continue; // it is protected in a folder that may be written
    if (!in_workspace && !is_in(st.closed))
      (r.writable && !is_in(st.guarded) ? p.writable : p.readable).push_back(r.path);
  }
  for (auto& x : st.guarded)
    if (std::find(p.readable.begin(), p.readable.end(), x) == p.readable.end())
      p.protected_paths.push_back(x);
  p.home = workspace_paths::home(parts.place);
  p.network = parts.config.network == "full";
  p.env = parts.env;
  if (p.env.count("PATH") == 0)
    p.env["PATH"] = "/usr/local/bin:/usr/bin:/bin";
  p.env["HOME"] = p.home;
  p.env["TMPDIR"] = temporary_folder(p);
  return p;
}

namespace {

/// Programs of a virtual environment in the folder come first.
std::map<std::string, std::string> environment_in(const std::string& folder, const std::map<std::string, std::string>& base) {
  std::map<std::string, std::string> out;
  std::error_code e;
  auto venv = folder + "/.venv";
  if (!std::filesystem::is_directory(venv + "/bin", e))
    return out;
  auto path = base.find("PATH");
  out["PATH"] = venv + "/bin:" + (path == base.end() ? "/usr/local/bin:/usr/bin:/bin" : path->second);
  out["VIRTUAL_ENV"] = venv;
  return out;
}

/// Adds to what is held of a stream; what is too much goes at the front.
void hold(std::string& held, std::uint64_t& start, const std::string& more) {
  held += more;
  if (held.size() <= max_job_output)
    return;
  auto gone = held.size() - max_job_output;
  held.erase(0, gone);
  start += gone;
}

/// What is held from `offset` on.
std::string from(const std::string& held, std::uint64_t start, std::uint64_t offset, std::uint64_t& next, bool& cut) {
  cut = cut || offset < start;
  auto at = offset < start ? 0 : std::min<std::uint64_t>(offset - start, held.size());
  auto text = held.substr(at, max_shown_output);
  next = start + at + text.size();
  return text;
}

const char* why_of(command_end::reason r) {
  switch (r) {
  case command_end::reason::timed_out:
    return "it was ended at its time limit";
  case command_end::reason::killed:
    return "it was ended";
  case command_end::reason::out_of_memory:
    return "it was ended: too much memory";
  case command_end::reason::too_many_processes:
    return "it was ended: too many processes";
  case command_end::reason::too_much_disk:
    return "it was ended: too much in deleted files";
  default:
    return "";
  }
}

} // namespace

/// The folder a command starts in: one it may read.
std::string workspace_state::work_dir_of(const std::string& given, tool_fault& fault) const {
  std::string path;
  auto v = path_policy::absolute(workspace_paths::work(parts.place), given, path);
  if (v.ok()) {
    std::error_code e;
    auto found = std::filesystem::canonical(path, e).string(); // the sandbox decides what can be reached in the end
    v = path_policy::judge(rules, e ? path : found, path_policy::access::read);
    if (v.ok() && (e || !std::filesystem::is_directory(found, e)))
      v = {denial::args, SIZE_MAX, "", "work_dir " + path_policy::shown(given) + " is no folder"};
    path = found;
  }
  fault = {v.code, v.text};
  return path;
}

bool workspace_state::open_sandbox(std::string& error) {
  if (commands)
    return true;
  if (!parts.tier) {
    error = "commands cannot be confined on this machine; see: conclave sandbox";
    return false;
  }
  commands = sandbox::open(parts.outside, profile_of(*this, *parts.tier), parts.launcher);
  return commands != nullptr;
}

void workspace_state::run(const execute_command& c, answer say) {
  tool_fault fault;
  auto refuse = [&] { say(wire::refused_command_json(c.command, c.work_dir, fault), true); };
  auto folder = work_dir_of(c.work_dir, fault);
  if (fault.code != denial::none)
    return refuse();
  if (auto no = command_filter{parts.config.allowed_commands, parts.config.blocked_commands, parts.tier == sandbox_tier::off}.judge(
          c.command)) {
    fault = *no;
    return refuse();
  }
  auto full = [say, c](const std::string& why) {
    say(wire::refused_command_json(c.command, c.work_dir, {denial::size, why}), true);
  };
  auto abandon = [say, c] { say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox("cancelled")), true); };
  with_room([this, c, say, folder] { begin(c, folder, say); }, full, abandon);
}

void workspace_state::begin(const execute_command& c, const std::string& folder, const answer& say) {
  std::string error;
  if (!open_sandbox(error))
    return say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox(error)), true);
  auto end = std::make_shared<command_end>();
  auto number = std::make_shared<std::uint64_t>(0);            // with the sandbox
  auto since = (parts.outside->now_unix_ms() - 5) * 1'000'000; // the file system's clock ticks every 4 ms
  auto finish = [this, say, end, number, c, folder, since] {
    auto full = unwatch(*number);
    if (end->why == command_end::reason::failed)
      return say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox(end->error)), true);
    on_disk( // what it made need not be read before it is changed
        true,
        [files = files, since] {
          for (auto& [path, identity] : files->disk.made_since(since))
            files->tools->tracker().created(path, identity);
        },
        [] {}, [] {});
    command_result r;
    r.exit_code = end->status;
    r.out = std::move(end->out.text);
    r.err = std::move(end->err.text);
    r.time_ms = end->ms;
    r.command = c.command;
    r.work_dir = folder;
    r.timed_out = end->why == command_end::reason::timed_out;
    r.truncated = end->out.left_out > 0 || end->err.left_out > 0;
    r.note = full.empty() ? why_of(end->why) : full;
    say(wire::to_json(r), !full.empty());
  };
  auto abandon = [say, c] { say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox("cancelled")), true); };
  auto id = expect({finish, abandon, true});
  alive.insert(id);
  auto post = poster();
  *number = commands->run({c.command, folder, c.timeout * 1000, false, environment_in(folder, parts.env)},
                          [post, id, end](command_end e) {
                            *end = std::move(e);
                            post(id);
                          });
  watch(*number);
}

void workspace_state::run(const execute_command_background& c, answer say) {
  tool_fault fault;
  auto refuse = [&] { say(error_text("execute_command_background", fault), true); };
  auto folder = work_dir_of(c.work_dir, fault);
  if (fault.code != denial::none)
    return refuse();
  if (auto no = command_filter{parts.config.allowed_commands, parts.config.blocked_commands, parts.tier == sandbox_tier::off}.judge(
          c.command)) {
    fault = *no;
    return refuse();
  }
  auto denied = [say](const tool_fault& f) { say(error_text("execute_command_background", f), true); };
  with_room([this, c, say, folder] { begin(c, folder, say); },
            [denied](const std::string& why) {
              denied({denial::size, why});
            },
            [denied] { denied(failed_in_sandbox("cancelled")); });
}

void workspace_state::begin(const execute_command_background& c, const std::string& folder, const answer& say) {
  auto refuse = [&say](const tool_fault& f) { say(error_text("execute_command_background", f), true); };
  auto under_way = std::count_if(jobs.begin(), jobs.end(), [](auto& j) { return j.second.running; });
  if (static_cast<std::size_t>(under_way) >= max_jobs)
    return refuse({denial::size, std::to_string(max_jobs) + " jobs are under way, which is the most: end one with kill"});
  std::string error;
  if (!open_sandbox(error))
    return refuse(failed_in_sandbox(error));
  auto job = "job" + std::to_string(++job_names);
  auto end = std::make_shared<command_end>();
  auto id = expect({[this, job, end] {
                      auto i = jobs.find(job);
                      if (i == jobs.end())
                        return;
                      auto& j = i->second;
                      auto full = unwatch(j.id);
                      j.running = false;
                      j.exit_code = end->why == command_end::reason::failed ? -1 : end->status;
                      hold(j.out, j.out_start, end->out.text);
                      hold(j.err, j.err_start, end->why == command_end::reason::failed ? end->error : end->err.text);
                      if (!full.empty())
                        hold(j.err, j.err_start, (j.err.empty() || j.err.back() == '\n' ? "" : "\n") + full + "\n");
                    },
                    [] {}, true});
  alive.insert(id);
  auto post = poster();
  background_job j;
  j.id = commands->run({c.command, folder, 0, true, environment_in(folder, parts.env)}, [post, id, end](command_end e) {
    *end = std::move(e);
    post(id);
  });
  watch(j.id);
  jobs[job] = std::move(j);
  say(wire::to_json(job_started{job, c.command, folder}), false);
}

void workspace_state::run(const read_output& c, answer say) {
  auto i = jobs.find(c.job);
  if (i == jobs.end())
    return say(error_text("read_output", {denial::args, "there is no job of this name in this run"}), true);
  auto tell = [this, c, say] {
    auto at = jobs.find(c.job);
    if (at == jobs.end())
      return say(error_text("read_output", {denial::args, "the run is over"}), true);
    auto& j = at->second;
    job_output r;
    r.job = c.job;
    r.running = j.running;
    if (!j.running)
      r.exit_code = j.exit_code;
    r.out = from(j.out, j.out_start, static_cast<std::uint64_t>(c.offset), r.next_offset, r.truncated);
    r.err = from(j.err, j.err_start, static_cast<std::uint64_t>(c.error_offset), r.next_error_offset, r.truncated);
    say(wire::to_json(r), false);
  };
  if (!i->second.running || !commands)
    return tell();
  auto news = std::make_shared<command_news>();
  auto id = expect({[this, job = c.job, news, tell] {
                      if (auto at = jobs.find(job); at != jobs.end()) {
                        hold(at->second.out, at->second.out_start, news->out.text);
                        hold(at->second.err, at->second.err_start, news->err.text);
                      }
                      tell();
                    },
                    [say] {
                      say(error_text("read_output", {denial::none, "cancelled"}), true);
                    },
                    true});
  commands->read_output(i->second.id, [post = poster(), id, news](command_news n) {
    *news = std::move(n);
    post(id);
  });
}

void workspace_state::run(const kill_job& c, answer say) {
  auto i = jobs.find(c.job);
  if (i == jobs.end())
    return say(error_text("kill", {denial::args, "there is no job of this name in this run"}), true);
  job_killed r;
  r.job = c.job;
  r.was_running = i->second.running;
  if (!i->second.running)
    r.exit_code = i->second.exit_code;
  else if (commands)
    commands->kill(i->second.id);
  say(wire::to_json(r), false);
}

} // namespace conclave
