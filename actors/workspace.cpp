// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/workspace.hpp"

#include "actors/leaving.hpp"
#include "actors/workspace_state.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/wire/workspace_calls.hpp"
#include "protocols/workspace_paths.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <filesystem>
#include <type_traits>
#include <utility>

namespace conclave {

namespace {

using workspace_tools::tool_fault;
using workspace_tools::tool_row;

/// The row of a public name, or nullptr: no other tool is near enough.
const tool_row* row_of(const std::string& public_name) {
  auto& rows = workspace_tools::table();
  auto i = std::find_if(rows.begin(), rows.end(), [&](auto& r) { return workspace_tools::public_name(r) == public_name; });
  return i == rows.end() ? nullptr : &*i;
}

template <class T>
constexpr bool is_command =
    std::is_same_v<
        T,
        workspace_tools::
            execute_command> || std::is_same_v<T, workspace_tools::execute_command_background> || std::is_same_v<T, workspace_tools::read_output> || std::is_same_v<T, workspace_tools::kill_job>;

} // namespace

bool workspace_state::offers(const tool_row& row) const {
  auto has = [&](const std::vector<std::string>& list) { return workspace_tools::is_named(row, list); };
  return std::find(parts.replaced.begin(), parts.replaced.end(), row.server) == parts.replaced.end()
         && (row.server != "command_line" || parts.config.commands) && !has(parts.exclude_tools)
         && (!parts.has_allowed_tools || has(parts.allowed_tools));
}

tool_list workspace_state::offered() const {
  tool_list out;
  out.source = "its workspace";
  for (auto& row : workspace_tools::table())
    if (offers(row))
      out.tools.push_back(
          {{workspace_tools::public_name(row), std::string{row.description}, std::string{row.parameters}}, row.notes});
  for (auto& server : parts.replaced)
    out.notes.push_back("the tool server \'" + server
                        + "' of the configuration stands in the place of the built-in tools of that name");
  if (out.tools.empty())
    out.notes.push_back("no tool for files is offered: allowed_tools or exclude_tools leave none");
  return out;
}

std::uint64_t workspace_state::expect(pending p) {
  auto id = ++ids;
  waiting.emplace(id, std::move(p));
  return id;
}

std::function<void(std::uint64_t)> workspace_state::poster() const {
  return [back = caf::actor_cast<caf::actor_addr>(self)](std::uint64_t id) {
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(back))
      caf::anon_send(caf::actor_cast<workspace_impl>(strong), workspace_news{id});
  };
}

void workspace_state::arrived(std::uint64_t id) {
  auto ended = alive.erase(id) > 0;
  auto i = waiting.find(id);
  if (i != waiting.end()) { // else it was abandoned
    auto finish = std::move(i->second.finish);
    waiting.erase(i);
    finish();
  }
  if (ended)
    maybe_quiet();
}

bool workspace_state::on_disk(bool of_run, std::function<void()> job, std::function<void()> finish, std::function<void()> abandon) {
  if (!disk)
    disk = parts.lanes->open_lane("workspace of agent " + std::to_string(parts.number));
  auto id = expect({std::move(finish), std::move(abandon), of_run});
  auto post = poster();
  auto begun = disk->run(
      [job = std::move(job)] {
        job();
        return std::string{};
      },
      [post, id](const job_result&) { post(id); });
  if (!begun)
    waiting.erase(id);
  return begun;
}

/// Its time begins with the job: what waits for the jobs of others must not be too late before it has begun.
bool workspace_state::on_disk_in_time(std::function<void(const early_end&)> job, std::function<void()> finish,
                                      std::function<void()> abandon) {
  auto end = std::make_shared<early_end>();
  auto begun = expect({[this, end] {
                         call_after(self, parts.file_time, [end] {
                           end->late = true;
                           end->now = true;
                         });
                       },
                       [] {}, true});
  auto stop = [end] { end->now = true; };
  auto post = poster();
  auto queued = on_disk(
      true,
      [job = std::move(job), end, post, begun] {
        post(begun);
        job(*end);
      },
      std::move(finish),
      [stop, abandon = std::move(abandon)] {
        stop();
        abandon();
      });
  if (!queued)
    waiting.erase(begun);
  return queued;
}

/// Everything that is under way for the run ends; whoever waits for it is told.
void workspace_state::end_run() {
  if (cancel)
    cancel->store(true);
  cancel = std::make_shared<std::atomic<bool>>(false);
  if (commands)
    commands->close();
  commands = nullptr;
  jobs.clear();
  ended_jobs.clear();
  written.clear();
  reads.clear();
  reading = 0;
  watched.clear();
  looking = counting = false;
  std::vector<std::function<void()>> told;
  if (auto waits = std::exchange(quiet, {}); waits.abandon)
    told.push_back(std::move(waits.abandon));
  for (auto i = waiting.begin(); i != waiting.end();) {
    auto next = std::next(i);
    if (i->second.of_run) {
      told.push_back(std::move(i->second.abandon));
      waiting.erase(i);
    }
    i = next;
  }
  for (auto& tell : told)
    tell();
  watch_servers(); // they go on until the next run, or until files are kept
}

void workspace_state::when_quiet(pending then) {
  held = true;
  end_servers();
  for (auto& [command, why] : watched)
    if (commands)
      commands->kill(command);
  quiet = std::move(then); // the end of the last of them calls it
  maybe_quiet();
}

void workspace_state::maybe_quiet() {
  if (quiet.finish && alive.empty() && servers_ending == 0)
    std::exchange(quiet, {}).finish();
}

caf::result<workspace_ready> workspace_state::prepare(prepare_workspace p) {
  end_run();
  over.reset();
  of = p.of;
  in_place = p.present && workspace_paths::written_in_place(parts.config); // a cancel before it is ready revokes it, too
  // A server that was started to list its tools has the grants of a first run, too.
  auto stays = std::exchange(fresh, false) && p.snapshot.empty() && !p.present && !parts.config.write_from_start;
  p.as_it_is = p.as_it_is || stays;
  auto promise = self->make_response_promise<workspace_ready>();
  auto fault = std::make_shared<std::string>();
  struct granted {
    path_policy::rules rules;
    std::vector<std::string> hidden, closed, borrowed, guarded, notices;
    bool in_place = false;
  };
  auto now = std::make_shared<granted>();
  auto abandon = [promise]() mutable { promise.deliver(make_error(ec::cancelled, "another run began")); };
  auto begin = [this, promise, fault, now, abandon, p = std::move(p)]() mutable {
    auto begun = on_disk(
        true,
        [files = files, p = std::move(p), fault, now, flag = cancel, enforce = parts.config.read_before_delete,
         confines = parts.confines, time = parts.file_time, by_grants = parts.tier == sandbox_tier::landlock] {
          *fault = files->disk.prepare(p, flag.get());
          now->in_place = files->disk.writes_in_place();
          now->rules = files->disk.rules();
          now->borrowed = files->disk.borrowed();
          if (confines) {
            files->disk.find_secrets(now->hidden, now->closed, by_grants);
            now->guarded = files->disk.find_protected();
          }
          now->notices = files->disk.take_notices();
          file_tools::settings with{now->rules, enforce, {}, {}};
          with.bounds.keep_free = files->disk.folders().limits.keep_free;
          with.bounds.time = time;
          with.full = [&disk = files->disk](const std::atomic<bool>& stop) {
            auto amount = disk.measure(&stop);
            return amount.over.empty() ? std::string{} : amount.over + room_advice;
          };
          files->tools = std::make_unique<file_tools>(std::move(with));
        },
        [this, promise, fault, now]() mutable {
          rules = std::move(now->rules);
          hidden = std::move(now->hidden);
          closed = std::move(now->closed);
          borrowed = std::move(now->borrowed);
          guarded = std::move(now->guarded);
          in_place = now->in_place;
          if (in_place && parts.tier == sandbox_tier::off && parts.config.commands)
            now->notices.emplace_back(
                "commands of this presentation run unconfined and write in place: nothing keeps them from what "
                "is protected there, from .git and names of secrets, or from any other folder of yours");
          for (auto& r : rules.roots)
            if (in_place && parts.config.commands && r.kind == path_policy::root_kind::context && r.writable
                && std::find(guarded.begin(), guarded.end(), r.path) != guarded.end())
              now->notices.push_back(
                  "commands of this presentation cannot write in " + path_policy::shown(r.path)
                  + ": too much in it is protected or never written to keep them from that alone. File tools can");
          for (auto& text : now->notices)
            if (parts.tell)
              parts.tell(text);
          laid_out = true;
          if (fault->empty())
            promise.deliver(workspace_ready{parts.place});
          else
            promise.deliver(make_error(ec::unavailable, *fault));
          release();
        },
        abandon);
    if (!begun) {
      promise.deliver(make_error(ec::unavailable, "the system gives no thread for the files of the agent"));
      release();
    }
  };
  if (stays) {
    held = true;
    return begin(), caf::delegated<workspace_ready>{};
  }
  // A server of the run before holds a folder that is about to go.
  when_quiet({std::move(begin), std::move(abandon), true});
  return caf::delegated<workspace_ready>{};
}

caf::result<kept_files> workspace_state::keep(const keep_workspace& k) {
  auto nothing = [](std::string why) {
    kept_files out;
    out.why = std::move(why);
    return out;
  };
  if (!(k.of == of))
    return nothing("the run is over");
  auto promise = self->make_response_promise<kept_files>();
  auto abandon = [promise, nothing]() mutable { promise.deliver(nothing("cancelled")); };
  auto take = [this, promise, nothing, abandon, present = k.present]() mutable {
    end_run();
    auto out = std::make_shared<kept_files>();
    auto notices = std::make_shared<std::vector<std::string>>();
    auto begun = on_disk(
        true,
        [files = files, out, notices, present, flag = cancel] {
          *out = files->disk.keep(present, flag.get());
          if (present)
            files->end_presentation();
          *notices = files->disk.take_notices();
        },
        [this, promise, out, notices, present]() mutable {
          if (present)
            only_read();
          for (auto& text : *notices)
            if (parts.tell)
              parts.tell(text);
          promise.deliver(std::move(*out));
          release();
        },
        abandon);
    if (begun)
      return;
    promise.deliver(nothing("the system gives no thread for the files of the agent"));
    release();
  };
  // A write through a mapping may come as long as a process lives, and moves no time stamp.
  when_quiet({std::move(take), std::move(abandon), true});
  return caf::delegated<kept_files>{};
}

/// What a sandbox that begins from now on is granted.
void workspace_state::only_read() {
  if (!std::exchange(in_place, false))
    return;
  for (auto& r : rules.roots) // who writes in place has no copies
    if (r.kind == path_policy::root_kind::context || r.kind == path_policy::root_kind::context_file)
      r.writable = false;
}

void workspace_state::revoke() {
  if (!in_place)
    return;
  only_read();
  auto finish = [this, run = of] {
    auto notices = std::make_shared<std::vector<std::string>>();
    auto begun = on_disk(
        false,
        [files = files, notices] {
          files->end_presentation();
          *notices = files->disk.take_notices();
        },
        [this, notices, run] {
          for (auto& text : *notices)
            if (parts.tell)
              parts.tell(text);
          if (run == of) // else another run is being prepared, and releases them
            release();
        },
        [] {});
    if (!begun)
      release();
  };
  when_quiet({std::move(finish), [] {}, true});
}

caf::result<tool_result> workspace_state::call(const tool_invocation& i) {
  auto* row = row_of(i.call.name);
  auto denied = [&](const tool_fault& fault) {
    return tool_result{i.call.id, workspace_tools::error_text(row != nullptr ? row->name : "?", fault), true, {}};
  };
  if (row == nullptr || !offers(*row))
    return denied({path_policy::denial::tool, "there is no tool of this name here"});
  if (i.run != of.run || i.task != of.task)
    return denied({path_policy::denial::none, "the run is over"});
  auto decoded = wire::decode_workspace_call(row->name, i.call.arguments);
  if (auto* fault = std::get_if<tool_fault>(&decoded))
    return denied(*fault);
  auto promise = self->make_response_promise<tool_result>();
  auto say = [promise, id = i.call.id](std::optional<std::string> text, bool is_error) mutable {
    if (text)
      promise.deliver(tool_result{id, std::move(*text), is_error, {}});
    else
      promise.deliver(make_error(ec::cancelled, "cancelled"));
  };
  std::visit(
      [&](auto& c) {
        using T = std::remove_cvref_t<decltype(c)>;
        if constexpr (is_command<T>) {
          run(c, say);
        } else {
          auto out = std::make_shared<file_tool_result>();
          auto begun = on_disk_in_time([files = files, c, out, name = std::string{row->name}](
                                           const early_end& end) { *out = files->tools->run(c, end, name); },
                                       [say, out]() mutable { say(std::move(out->text), out->failed); },
                                       [say]() mutable { say(std::nullopt, true); });
          if (!begun)
            say("Error: the system gives no thread for the files of the agent", true);
        }
      },
      std::get<workspace_tools::call>(decoded));
  return caf::delegated<tool_result>{};
}

caf::result<workspace_cleared> workspace_state::clear() {
  end_run();
  std::error_code e;
  if (!disk && !std::filesystem::exists(std::filesystem::symlink_status(parts.place, e)))
    return workspace_cleared{}; // it never had folders; of a task that was gone on with, a process before may have made them
  auto promise = self->make_response_promise<workspace_cleared>();
  auto fault = std::make_shared<std::string>();
  auto begin = [this, promise, fault]() mutable {
    auto begun = on_disk(
        false,
        [files = files, fault, tell = parts.tell] {
          files->end_presentation();
          for (auto& text : files->disk.take_notices())
            if (tell)
              tell(text);
          *fault = files->disk.clear();
        },
        [promise, fault]() mutable { promise.deliver(workspace_cleared{*fault}); },
        [promise]() mutable { promise.deliver(workspace_cleared{}); });
    if (!begun)
      promise.deliver(workspace_cleared{"the system gives no thread"});
  };
  when_quiet({std::move(begin), [promise]() mutable { promise.deliver(workspace_cleared{}); }, false});
  return caf::delegated<workspace_cleared>{};
}

void workspace_state::close() {
  end_run();
  for (auto& [id, p] : waiting)
    p.abandon();
  waiting.clear();
}

namespace {

workspace_impl::behavior_type workspace(workspace_ptr self, workspace_parts parts) {
  auto& st = self->state;
  st.self = self;
  st.files = std::make_shared<workspace_files>(workspace_folders{parts.home, parts.place, parts.task, parts.config, parts.limits});
  st.cancel = std::make_shared<std::atomic<bool>>(false);
  st.parts = std::move(parts);
  self->set_exit_handler([self](caf::exit_msg& m) {
    self->state.close();
    leave(self, m.reason);
  });
  return {
      [self](list_tools) { return self->state.offered(); },
      [self](const tool_invocation& i) { return self->state.call(i); },
      [self](const cancel_tools& c) {
        if (c.run != self->state.of.run || c.task != self->state.of.task)
          return;
        self->state.end_run();
        self->state.release();
        self->state.revoke();
      },
      [self](prepare_workspace& p) { return self->state.prepare(std::move(p)); },
      [self](const keep_workspace& k) { return self->state.keep(k); },
      [self](clear_workspace) { return self->state.clear(); },
      [self](const workspace_news& n) { self->state.arrived(n.id); },
      [self](const ask_walls& a) { return self->state.walls(a); },
      [self](const ask_ruling& a) { return self->state.ruling(a); },
      [self](use_files& u) { return self->state.use(std::move(u)); },
  };
}

} // namespace

workspace_actor spawn_workspace(caf::actor_system& sys, workspace_parts parts) {
  return sys.spawn(workspace, std::move(parts));
}

wall_actor walls_of(const workspace_actor& w) {
  return caf::actor_cast<wall_actor>(w);
}

} // namespace conclave
