// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Commands of an agent: judged by the user's lists, run in the sandbox of its run.

#include "actors/workspace_state.hpp"
#include "protocols/command_filter.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "protocols/workspace_paths.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

namespace conclave {

namespace {

using namespace workspace_tools;
using path_policy::denial;

constexpr std::size_t max_jobs = 8;                              ///< in the background, at a time
constexpr std::size_t max_ended_jobs = 256;                      ///< that are known by their names
constexpr std::size_t max_reads = 3;                             ///< of the output of jobs, at a time
constexpr std::size_t max_shown_output = std::size_t{256} << 10; ///< bytes of a stream that one read gives

tool_fault failed_in_sandbox(std::string why) {
  return {denial::sandbox, std::move(why)};
}

} // namespace

sandbox_profile profile_of(const workspace_state& st, sandbox_tier tier) {
  auto& parts = st.parts;
  sandbox_profile p;
  p.tier = tier;
  for (auto& folder : parts.config.readable)
    if (std::find(st.closed.begin(), st.closed.end(), folder) == st.closed.end())
      p.readable.push_back(folder);
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
    using kind = path_policy::root_kind;
    if (r.writable && (r.kind == kind::context || r.kind == kind::context_file)) // in place
      p.shared.push_back(r.path);
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

std::string why_of(const command_end& e) {
  const sandbox_limits bounds;
  switch (e.why) {
  case command_end::reason::timed_out:
    return "it was ended at its time limit";
  case command_end::reason::killed:
    return "it was ended";
  case command_end::reason::out_of_memory: // where the kernel counts, it ends one process, and what waited for that may go on
    return std::string(e.status == 137 ? "it was ended" : "one of its processes was ended")
           + ": too much memory (all commands of a run may use " + std::to_string(bounds.memory >> 30) + " GiB together)";
  case command_end::reason::too_many_processes:
    return "it was ended: too many processes (all commands of a run may have " + std::to_string(bounds.processes) + " together)";
  case command_end::reason::too_much_disk:
    return "it was ended: too much in deleted files (" + std::to_string(bounds.file_size >> 30) + " GiB at most)";
  default:
    return {};
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
  auto abandon = [say] { say(std::nullopt, true); };
  with_room([this, c, say, folder] { begin(c, folder, say); }, full, abandon);
}

std::int64_t workspace_state::file_time() const {
  return (parts.outside->now_unix_ms() - 5) * 1'000'000; // the file system's clock ticks every 4 ms
}

/// What a command made need not be read before it is changed.
void workspace_state::note_made(std::int64_t since) {
  on_disk(
      true,
      [files = files, since] {
        for (auto& [path, identity] : files->disk.made_since(since))
          files->tools->tracker().created(path, identity);
      },
      [] {}, [] {});
}

void workspace_state::begin(const execute_command& c, const std::string& folder, const answer& say) {
  std::string error;
  if (!open_sandbox(error))
    return say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox(error)), true);
  auto end = std::make_shared<command_end>();
  auto number = std::make_shared<std::uint64_t>(0); // with the sandbox
  auto since = file_time();
  auto finish = [this, say, end, number, c, folder, since] {
    auto full = unwatch(*number);
    if (end->why == command_end::reason::failed)
      return say(wire::refused_command_json(c.command, c.work_dir, failed_in_sandbox(end->error)), true);
    note_made(since);
    command_result r;
    r.exit_code = end->status;
    r.out = std::move(end->out.text);
    r.err = std::move(end->err.text);
    r.time_ms = end->ms;
    r.command = c.command;
    r.work_dir = folder;
    r.timed_out = end->why == command_end::reason::timed_out;
    r.truncated = end->out.left_out > 0 || end->err.left_out > 0;
    r.note = full.empty() ? why_of(*end) : full;
    say(wire::to_json(r), !full.empty());
  };
  auto abandon = [say] { say(std::nullopt, true); };
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
            [say] { say(std::nullopt, true); });
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
                      ended(job, i->second, std::move(*end));
                    },
                    [] {}, true});
  alive.insert(id);
  auto post = poster();
  background_job j;
  j.since = file_time();
  j.id = commands->run({c.command, folder, 0, true, environment_in(folder, parts.env)}, [post, id, end](command_end e) {
    *end = std::move(e);
    post(id);
  });
  watch(j.id);
  auto number = j.id;
  jobs[job] = std::move(j);
  // Whether it began is known once the launcher has gone on to what is asked of it behind that.
  auto news = std::make_shared<command_news>();
  auto begun = expect({[this, job, started = job_started{job, c.command, folder}, news, say] {
                         auto at = jobs.find(job);
                         if (at != jobs.end() && at->second.fault.empty()) {
                           add(job, std::move(*news));
                           return say(wire::to_json(started), false);
                         }
                         auto why = at != jobs.end() ? at->second.fault : "it was ended";
                         say(error_text("execute_command_background", failed_in_sandbox(why)), true);
                       },
                       [say] { say(std::nullopt, true); }, true});
  commands->read_output(number, [post, begun, news](command_news n) {
    *news = std::move(n);
    post(begun);
  });
}

void workspace_state::add(const std::string& job, command_news news) {
  written.add(job, job_stream::out, std::move(news.out.text));
  written.add(job, job_stream::err, std::move(news.err.text));
}

void workspace_state::ended(const std::string& job, background_job& j, command_end end) {
  auto failed = end.why == command_end::reason::failed;
  j.running = false;
  if (failed)
    j.fault = end.error.empty() ? "the sandbox gave no reason" : end.error;
  j.exit_code = failed ? -1 : end.status;
  j.note = unwatch(j.id);
  note_made(j.since);
  if (j.note.empty() && end.why != command_end::reason::killed)
    j.note = why_of(end);
  written.add(job, job_stream::out, std::move(end.out.text));
  written.add(job, job_stream::err, std::move(failed ? end.error : end.err.text));
  written.ended(job);
  ended_jobs.push_back(job);
  if (ended_jobs.size() <= max_ended_jobs)
    return;
  written.forget(ended_jobs.front());
  jobs.erase(ended_jobs.front());
  ended_jobs.pop_front();
}

/// What is said of a job that is not known.
workspace_tools::tool_fault workspace_state::no_job(const std::string& job) const {
  std::uint64_t n = 0;
  auto [end, e] = std::from_chars(job.data() + std::min<std::size_t>(job.size(), 3), job.data() + job.size(), n);
  auto was = job.starts_with("job") && e == std::errc{} && end == job.data() + job.size() && n > 0 && n <= job_names;
  return {denial::args,
          was ? "this job ended long ago, and its output is no longer kept" : "there is no job of this name in this run"};
}

void workspace_state::run(const read_output& c, answer say) {
  auto i = jobs.find(c.job);
  if (i == jobs.end())
    return say(error_text("read_output", no_job(c.job)), true);
  if (!i->second.running || !commands)
    return tell(c, say);
  auto news = std::make_shared<command_news>();
  auto id = expect({[this, c, news, say] {
                      --reading;
                      if (jobs.count(c.job) > 0)
                        add(c.job, std::move(*news));
                      tell(c, say);
                      read_next();
                    },
                    [say] { say(std::nullopt, true); }, true});
  reads.push_back([this, number = i->second.id, news, id] {
    commands->read_output(number, [post = poster(), id, news](command_news n) {
      *news = std::move(n);
      post(id);
    });
  });
  read_next();
}

/// Few at a time: what a job wrote may be megabytes, of which little is kept.
void workspace_state::read_next() {
  while (reading < max_reads && !reads.empty() && commands) {
    ++reading;
    auto next = std::move(reads.front());
    reads.pop_front();
    next();
  }
}

void workspace_state::tell(const read_output& c, const answer& say) const {
  auto at = jobs.find(c.job);
  if (at == jobs.end())
    return say(error_text("read_output", no_job(c.job)), true);
  auto& j = at->second;
  job_output r;
  r.job = c.job;
  r.running = j.running;
  if (!j.running)
    r.exit_code = j.exit_code;
  auto out = written.from(c.job, job_stream::out, static_cast<std::uint64_t>(c.offset), max_shown_output);
  auto err = written.from(c.job, job_stream::err, static_cast<std::uint64_t>(c.error_offset), max_shown_output);
  r.out = std::move(out.text);
  r.err = std::move(err.text);
  r.next_offset = out.next;
  r.next_error_offset = err.next;
  r.truncated = out.cut || err.cut;
  r.note = j.note;
  if (r.truncated)
    r.note += (r.note.empty() ? "" : "; ") + std::string("some of its output is no longer kept: all jobs of a run together keep ")
              + std::to_string(max_held_output >> 20) + " MiB of it";
  say(wire::to_json(r), false);
}

void workspace_state::run(const kill_job& c, answer say) {
  auto i = jobs.find(c.job);
  if (i == jobs.end())
    return say(error_text("kill", no_job(c.job)), true);
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
