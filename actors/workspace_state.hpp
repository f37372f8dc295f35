// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Private to workspace*.cpp: an agent's workspace while it works.

#include "actors/workspace.hpp"
#include "actors/workspace_use.hpp"
#include "protocols/job_outputs.hpp"
#include "protocols/type_ids.hpp"
#include "protocols/workspace_tools.hpp"
#include "transports/file_tools.hpp"
#include "transports/sandbox.hpp"
#include "transports/workspace_disk.hpp"

#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace conclave {

/// Something came back from the disk or from a command. Never crosses nodes.
struct workspace_news {
  std::uint64_t id = 0; ///< of what was begun
};

} // namespace conclave

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(conclave::workspace_news)

namespace conclave {

struct workspace_state;
using workspace_impl =
    workspace_actor::extend<caf::reacts_to<workspace_news>, caf::replies_to<ask_walls>::with<server_walls>,
                            caf::replies_to<ask_ruling>::with<call_ruling>, caf::replies_to<use_files>::with<files_used>>;
using workspace_ptr = workspace_impl::stateful_pointer<workspace_state>;

/// What the disk's thread uses; nobody else does once it has begun.
struct workspace_files {
  explicit workspace_files(workspace_folders f) : disk(std::move(f)) {}
  workspace_disk disk;
  std::unique_ptr<file_tools> tools; ///< of the run

  void end_presentation() {
    disk.end_presentation();
    if (tools)
      tools->set_rules(disk.rules());
  }
};

inline constexpr std::size_t max_held_output = std::size_t{2} << 20; ///< bytes of all background jobs of a run together

struct workspace_state {
  workspace_state() {} // no aggregate: CAF would hand the actor itself to the first member
  static inline const char* name = "workspace";

  /// Something under way: `finish` is called with the actor's context once it is over.
  struct pending {
    std::function<void()> finish;
    std::function<void()> abandon; ///< its caller is answered, whatever comes of it
    bool of_run = false;           ///< ends with the run's calls
  };

  struct background_job {
    std::uint64_t id = 0;   ///< with the sandbox
    std::int64_t since = 0; ///< Unix time in nanoseconds from which on a file may be of it
    bool running = true;
    int exit_code = -1;
    std::string note;  ///< why it was ended
    std::string fault; ///< why it was not begun, or broke down
  };

  workspace_ptr self = nullptr;
  workspace_parts parts;
  run_ref of;                                ///< the run it is prepared for
  path_policy::rules rules;                  ///< of that run
  std::vector<std::string> hidden, closed;   ///< from its commands, see workspace_disk::find_secrets
  std::vector<std::string> borrowed;         ///< what its commands read, see workspace_disk::borrowed
  std::vector<std::string> guarded;          ///< from their writing, see workspace_disk::find_protected
  std::shared_ptr<std::atomic<bool>> cancel; ///< of what the disk does for it
  std::shared_ptr<workspace_files> files;
  std::unique_ptr<lane> disk;                  ///< none before the first job
  std::shared_ptr<conclave::sandbox> commands; ///< of the run; none until its first command
  std::map<std::string, background_job> jobs;  ///< of the run, by their names
  std::deque<std::string> ended_jobs;          ///< of those, the first that ended in front
  job_outputs written{max_held_output};        ///< what they wrote
  std::deque<std::function<void()>> reads;     ///< of the output of jobs, that wait for those under way
  std::size_t reading = 0;                     ///< under way
  std::uint64_t job_names = 0;
  std::uint64_t ids = 0;
  std::map<std::uint64_t, pending> waiting;

  /// Commands and jobs that run, by their numbers with the sandbox: why they were ended for what their folders hold, or empty.
  std::map<std::uint64_t, std::string> watched;
  std::set<std::uint64_t> alive;         ///< what is to come back of commands that may still write, also of runs that are over
  bool looking = false;                  ///< a timer is set for commands and servers that run
  bool counting = false;                 ///< what the folders hold
  std::chrono::milliseconds look_took{}; ///< the last time
  std::optional<snapshots::amount> over; ///< what the folders held when they were found too full; none = they are not
  bool over_grows = false;               ///< that was counted while commands still wrote

  pending quiet; ///< what waits until no command and no server is left; `finish` empty = nothing

  std::map<std::string, confined_server_actor> servers; ///< that were started and not ended since
  std::size_t servers_ending = 0;
  bool laid_out = false; ///< its folders are there, with grants: a run was prepared, or a server started
  bool fresh = false;    ///< no run was prepared, and what is in the workspace is of a server that was started for the first
  bool in_place = false; ///< the run writes in folders of the user's themselves
  bool held = false;     ///< no server is started: files are being kept, or put in place
  std::vector<std::function<void()>> held_servers; ///< that wait for that

  tool_list offered() const;
  bool offers(const workspace_tools::tool_row& row) const;
  caf::result<workspace_ready> prepare(prepare_workspace p);
  caf::result<kept_files> keep(const keep_workspace& k);
  caf::result<tool_result> call(const tool_invocation& i);
  caf::result<workspace_cleared> clear();
  void end_run();
  /// The run is over: nobody writes in the user's folders any more, and servers that could are ended.
  void revoke();
  void only_read();
  /// Ends the commands and the servers, then calls `finish`: once nothing of them is left, also of a run that is over. Servers are
  /// held from then on, until release().
  void when_quiet(pending then);
  void maybe_quiet();
  void close();

  /// Runs `job` on the disk's thread, then `finish` here. False if the system gives no thread.
  bool on_disk(bool of_run, std::function<void()> job, std::function<void()> finish, std::function<void()> abandon);
  /// The same for a call of a file tool of the run, which is ended with the run, or when its time is over.
  bool on_disk_in_time(std::function<void(const early_end&)> job, std::function<void()> finish, std::function<void()> abandon);
  /// Names something that is to come back: `post(id)` may be called on any thread.
  std::uint64_t expect(pending p);
  std::function<void(std::uint64_t)> poster() const;
  void arrived(std::uint64_t id);

  // workspace_commands.cpp
  /// Of a call; no text: it was given up with its run.
  using answer = std::function<void(std::optional<std::string> text, bool is_error)>;
  void run(const workspace_tools::execute_command& c, answer say);
  void run(const workspace_tools::execute_command_background& c, answer say);
  std::int64_t file_time() const;
  void note_made(std::int64_t since);
  void begin(const workspace_tools::execute_command& c, const std::string& folder, const answer& say);
  void begin(const workspace_tools::execute_command_background& c, const std::string& folder, const answer& say);
  void run(const workspace_tools::read_output& c, answer say);
  void run(const workspace_tools::kill_job& c, answer say);
  void ended(const std::string& job, background_job& j, command_end end);
  void add(const std::string& job, command_news news);
  void read_next();
  void tell(const workspace_tools::read_output& c, const answer& say) const;
  workspace_tools::tool_fault no_job(const std::string& job) const;
  std::string work_dir_of(const std::string& given, workspace_tools::tool_fault& fault) const;
  bool open_sandbox(std::string& error);

  // workspace_servers.cpp
  caf::result<server_walls> walls(const ask_walls& a);
  void give_walls(const ask_walls& a, caf::typed_response_promise<server_walls> promise);
  caf::result<call_ruling> ruling(const ask_ruling& a);
  void end_servers(const std::string& why = {});
  void release();

  caf::result<files_used> use(use_files u); // workspace_use.cpp

  // workspace_bounds.cpp: what the folders may hold
  /// Calls `go` if a command may begin, `refuse` with the reason if the folders are too full for it, `abandon` if the run ends.
  void with_room(std::function<void()> go, std::function<void(std::string)> refuse, std::function<void()> abandon);
  void watch(std::uint64_t command);
  void watch_servers();
  std::string unwatch(std::uint64_t command); ///< Returns why it was ended for what it wrote, or empty.
  void look_later();
  void look();
};

/// What a command of the run is granted: nothing but what the run may use. What must not be changed lies read-only on top.
sandbox_profile profile_of(const workspace_state& st, sandbox_tier tier);

/// What an agent that filled its folders can do; and one whose commands filled them once more after that, so that none begins.
inline constexpr const char* room_advice =
    ". Delete what is not needed: with delete_file, delete_files_batch or a command that only removes.";
inline constexpr const char* no_command_advice =
    ". Delete what is not needed with delete_file or delete_files_batch: commands filled the folders once more after they had been "
    "found too full, so none runs until there is room.";

} // namespace conclave
