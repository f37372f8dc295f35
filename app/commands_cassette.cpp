// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The command that plays recorded runs again.

#include "app/commands.hpp"
#include "app/engine.hpp"
#include "app/host_io.hpp"
#include "app/load_config.hpp"
#include "app/plain_text.hpp"
#include "app/run_session.hpp"
#include "app/stored_tasks.hpp"
#include "app/version.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/opening.hpp"
#include "protocols/wire/cassette.hpp"
#include "transports/cassette_player.hpp"
#include "transports/event_store.hpp"
#include "transports/home.hpp"
#include "transports/outside.hpp"
#include "transports/unfinished.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <future>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

namespace {

constexpr int differs = static_cast<int>(exit_code::usage);

bool read_file(const std::string& path, std::string& bytes, std::string& error) {
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct ::stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    error = std::strerror(errno);
  } else if (!S_ISREG(info.st_mode)) {
    error = S_ISDIR(info.st_mode) ? "it is a folder; a cassette is a file" : "it is no regular file";
  } else {
    read_all(fd, wire::max_cassette, bytes, error, "it");
  }
  if (fd >= 0)
    ::close(fd);
  return error.empty();
}

/// A folder for a store that nobody keeps.
class scratch {
public:
  scratch() = default;
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() {
    std::error_code ignored;
    if (!path_.empty())
      std::filesystem::remove_all(path_, ignored);
  }

  bool make(std::string& error) {
    unfinished_ = unfinished::make([&] {
      std::error_code code;
      auto path = (std::filesystem::temp_directory_path(code) / "conclave-replay-XXXXXX").string();
      if (code || ::mkdtemp(path.data()) == nullptr) {
        error =
            "no folder for the store of this replay can be made: " + (code ? code.message() : std::string(std::strerror(errno)));
        return std::string{};
      }
      return path_ = path;
    });
    return unfinished_ != nullptr;
  }

  const std::string& path() const { return path_; }

private:
  std::string path_;
  std::unique_ptr<unfinished> unfinished_;
};

/// The team as it was recorded. Returns what is wrong, or empty.
std::string team_of(const wire::tape_head& head, run_config& config, question& q) {
  opening o;
  std::string error;
  if (!from_json(head.opening, o, error))
    return "line 1: " + error;
  if (!o.cluster.nodes.empty() && std::any_of(o.agents.begin(), o.agents.end(), [](auto& a) { return !a.node.empty(); }))
    return "line 1: its agents run on nodes, which cannot be recorded";
  config.agents = std::move(o.agents);
  config.rules = o.rules;
  config.cluster = std::move(o.cluster);
  config.source = o.config_path;
  config.on_unknown = o.on_unknown;
  q.text = head.question;
  q.history = std::move(o.history);
  q.attachments = std::move(o.attachments);
  return {};
}

/// Reads a file and the team in it. Returns what is wrong, or empty.
std::string read_run(const std::string& path, wire::cassette& tape, run_config& config, question& q) {
  std::string bytes, error;
  if (read_file(path, bytes, error))
    error = wire::read_cassette(bytes, tape);
  return error.empty() ? team_of(tape.head, config, q) : error;
}

/// Whether the store of this user has the task. Returns 0, or the exit code after a complaint.
int look(const std::string& task, bool& there) {
  stored_tasks s;
  if (auto code = s.open())
    return code;
  there = std::any_of(s.rows.begin(), s.rows.end(), [&](auto& r) { return r.task == task; });
  return 0;
}

void forget(const std::string& task) {
  stored_tasks s;
  std::vector<std::string> deleted;
  if (s.open() == 0)
    s.forget({task}, deleted);
}

} // namespace

bool names_a_cassette(const std::string& argument) {
  std::error_code ignored;
  if (argument == "last" || argument == "all") // words of `replay`, whatever files there are
    return false;
  return argument.find('/') != std::string::npos || std::filesystem::is_regular_file(argument, ignored);
}

std::string fault_of_replay(const std::string& path) {
  wire::cassette tape;
  run_config config;
  question q;
  scratch folder;
  auto error = read_run(path, tape, config, q);
  if (!error.empty() || !folder.make(error))
    return error;
  std::vector<problem> told; // when the run began
  config.models = load_models(own_models_file(), told);
  engine_options options;
  options.store_path = folder.path() + "/tasks.db";
  options.write_logs = false;
  auto player = options.play = std::make_shared<cassette_player>(std::move(tape), 0, outside::of_machine());
  {
    engine eng(std::move(options));
    if (!eng.error().empty())
      return eng.error();
    std::promise<void> ended;
    auto task = eng.start(config, q, {}, [&](const outcome&) { ended.set_value(); });
    signal_watch signals;
    signals.arm([&](const char* name) { eng.cancel(task, name); });
    ended.get_future().wait();
    eng.stop();
  }
  return player->stopped() ? std::string{} : player->failure();
}

int command_play(const replay_options& o) {
  const auto& path = o.tasks.front();
  if (o.tasks.size() > 1 || o.verify || !o.rules.empty()) {
    complain(o.tasks.size() > 1 ? "one recorded run is played at a time"
             : o.verify         ? "a recorded run is compared with every replay: --verify is for stored tasks"
                                : "--rules is for stored tasks: play the run, then ask for what it stored");
    return differs;
  }
  block_signals();
  wire::cassette tape;
  run_config config;
  question q;
  auto error = read_run(path, tape, config, q);
  std::vector<problem> problems; // what calls cost is told by the rows of whoever plays: they are not in the file
  config.models = load_models(own_models_file(), problems);
  for (const auto& p : problems)
    complain("warning: " + to_string(p));
  if (!error.empty()) {
    complain(path + ": " + error);
    return differs;
  }
  auto task = tape.head.task;
  auto there = false;
  if (auto code = look(task, there))
    return code;
  scratch folder;
  engine_options options;
  if (there && !folder.make(error)) {
    complain(error);
    return static_cast<int>(exit_code::failed);
  }
  if (there)
    options.store_path = folder.path() + "/tasks.db";
  options.write_logs = !there;
  auto player = options.play = std::make_shared<cassette_player>(std::move(tape), o.speed, outside::of_machine());
  auto code = 0;
  {
    engine eng(std::move(options));
    if (!eng.error().empty()) {
      complain(eng.error());
      return static_cast<int>(exit_code::failed);
    }
    run_output out(run_options{}, true);
    code = run_session(eng, out, [&](listener l, std::function<void(outcome)> done) {
      return eng.start(config, q, std::move(l), std::move(done));
    });
  }
  if (auto failure = player->failure(); !failure.empty()) {
    if (!there)
      forget(task);
    complain(path + ": " + failure);
    if (player->head().build != version && !player->stopped())
      complain("it was recorded by build " + one_line(player->head().build, 40) + "; this one is " + version);
    return player->stopped() ? static_cast<int>(exit_code::interrupted) : differs;
  }
  if (there)
    complain("notice: task " + task + " is in the store already; it was played beside it and nothing was added");
  return code == static_cast<int>(exit_code::failed) ? 0 : code; // it was shown, whatever became of it
}

} // namespace conclave
