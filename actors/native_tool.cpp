// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "actors/native_tool.hpp"

#include "actors/leaving.hpp"
#include "actors/native_tool_files.hpp"
#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace conclave {

/// A result on its way back to the actor. Never crosses nodes.
struct tool_worked {
  std::uint64_t id = 0;
  std::string text;
  bool is_error = false;
};
struct tool_late {
  std::uint64_t id = 0;
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_worked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::tool_late)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::handle_use)

namespace conclave {

namespace {

using tool_impl = tool_source_actor::extend<caf::reacts_to<tool_worked>, caf::reacts_to<tool_late>, caf::reacts_to<handle_use>>;

struct pending_call {
  pending_call() = default;
  pending_call(const pending_call&) = delete;
  pending_call& operator=(const pending_call&) = delete;
  tool_invocation asked;
  caf::typed_response_promise<tool_result> promise;
  std::shared_ptr<call_files> files; ///< what the function's handle leads to; none = it has none
  ~pending_call() {
    if (files) // however the call ended
      files->close();
  }
};

struct native_tool_state {
  native_tool_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "native_tool";
  listed_tool tool;
  std::shared_ptr<const native_file_function> work;
  file_user_actor files;        ///< none = no handle leads anywhere
  std::unique_ptr<lane> thread; ///< not a detached actor: one that never returns would hold up the end of the actor system
  std::uint64_t ids = 0;
  std::map<std::uint64_t, pending_call> pending;
};

/// "3 s", "300 ms"
std::string span(std::int64_t ms) {
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

using tool_ptr = tool_impl::stateful_pointer<native_tool_state>;

void answer(tool_ptr self, std::uint64_t id, std::string text, bool is_error) {
  auto i = self->state.pending.find(id);
  if (i == self->state.pending.end())
    return; // it was late or abandoned
  i->second.promise.deliver(tool_result{i->second.asked.call.id, std::move(text), is_error});
  self->state.pending.erase(i);
}

/// Where the handle of a call leads; null = nowhere.
std::shared_ptr<call_files> open_files(tool_ptr self, std::uint64_t id) {
  if (!self->state.files)
    return nullptr;
  auto reach = [id, back = caf::actor_cast<caf::actor_addr>(self)]() -> call_files::sender {
    auto strong = caf::actor_cast<caf::strong_actor_ptr>(back);
    if (!strong)
      return nullptr;
    return [id, to = caf::actor_cast<tool_impl>(strong)](use_files what, std::shared_ptr<one_use> by) {
      caf::anon_send(to, handle_use{id, std::move(what), std::move(by)});
    };
  };
  return std::make_shared<call_files>(!self->state.tool.notes.read_only, std::move(reach));
}

/// Returns false if there is no thread for it.
bool work(tool_ptr self, std::uint64_t id, const std::string& arguments) {
  auto& st = self->state;
  auto job = [work = st.work, arguments, files = st.pending[id].files] { return (*work)(arguments, workspace_handle{files}); };
  return st.thread->run(std::move(job), [id, back = caf::actor_cast<caf::actor_addr>(self)](job_result r) {
    if (r.failed)
      r.text = "Error: " + (r.text.empty() ? "the tool failed" : r.text);
    if (auto strong = caf::actor_cast<caf::strong_actor_ptr>(back))
      caf::anon_send(caf::actor_cast<tool_impl>(strong), tool_worked{id, std::move(r.text), r.failed});
  });
}

/// The function of a call uses its handle.
void pass_on(tool_ptr self, handle_use& u) {
  auto i = self->state.pending.find(u.call);
  if (i == self->state.pending.end())
    return; // its files are closed, and with them every use was answered
  auto& asked = i->second.asked;
  u.what.task = asked.task;
  u.what.run = asked.run;
  self->request(self->state.files, std::chrono::milliseconds(asked.timeout_ms), std::move(u.what))
      .then([by = u.by](files_used& f) { by->answer(std::move(f)); },
            [by = u.by](const caf::error& e) {
              files_used f;
              f.failed = true;
              f.fault.text = "the workspace cannot be reached: " + text_of(e);
              by->answer(std::move(f));
            });
}

tool_impl::behavior_type native_tool_source(tool_ptr self, const std::shared_ptr<outside>& from, listed_tool tool,
                                            native_file_function run, file_user_actor files) {
  self->state.thread = from->open_lane("tool " + tool.spec.name);
  self->state.tool = std::move(tool);
  self->state.work = std::make_shared<const native_file_function>(std::move(run));
  self->state.files = std::move(files);
  self->set_exit_handler([self](caf::exit_msg& m) {
    for (auto& [id, p] : self->state.pending)
      p.promise.deliver(tool_result{p.asked.call.id, "Error: the tool is being closed", true});
    self->state.pending.clear();
    leave(self, m.reason);
  });
  return {
      [self](list_tools) -> caf::result<tool_list> {
        auto& st = self->state;
        tool_list out;
        out.source = "tool " + st.tool.spec.name;
        out.tools = {st.tool};
        return out;
      },
      [self](const tool_invocation& i) -> caf::result<tool_result> {
        auto& st = self->state;
        if (i.call.name != st.tool.spec.name)
          return tool_result{i.call.id, "Error: no tool named '" + i.call.name + "' here", true};
        auto id = ++st.ids;
        auto& p = st.pending[id];
        p.asked = i;
        if (auto own = st.tool.notes.timeout_ms; own > 0)
          p.asked.timeout_ms = std::min(own, i.timeout_ms);
        p.promise = self->template make_response_promise<tool_result>();
        p.files = open_files(self, id);
        if (!work(self, id, i.call.arguments)) {
          answer(self, id, "Error: the system gives no thread for this tool", true);
          return caf::delegated<tool_result>{};
        }
        self->delayed_send(self, std::chrono::milliseconds(p.asked.timeout_ms), tool_late{id});
        return caf::delegated<tool_result>{};
      },
      [self](const cancel_tools& c) {
        std::vector<std::uint64_t> gone;
        for (auto& [id, p] : self->state.pending)
          if (p.asked.task == c.task && p.asked.agent == c.agent && p.asked.run == c.run)
            gone.push_back(id);
        for (auto id : gone)
          answer(self, id, "Error: cancelled", true);
      },
      [self](tool_worked& w) { answer(self, w.id, std::move(w.text), w.is_error); },
      [self](const tool_late& l) {
        auto i = self->state.pending.find(l.id);
        if (i != self->state.pending.end())
          answer(self, l.id, "Error: no result within " + span(i->second.asked.timeout_ms), true);
      },
      [self](handle_use& u) { pass_on(self, u); },
  };
}

} // namespace

tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool, native_function run) {
  auto without = [run = std::move(run)](const std::string& arguments, const workspace_handle&) { return run(arguments); };
  return sys.spawn(native_tool_source, std::move(from), std::move(tool), native_file_function{std::move(without)},
                   file_user_actor{});
}

tool_source_actor spawn_native_tool(caf::actor_system& sys, std::shared_ptr<outside> from, listed_tool tool,
                                    native_file_function run, file_user_actor files) {
  return sys.spawn(native_tool_source, std::move(from), std::move(tool), std::move(run), std::move(files));
}

} // namespace conclave
