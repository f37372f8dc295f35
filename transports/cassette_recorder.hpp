// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The outside of an engine whose run is recorded: hands every question on to another outside and notes what comes of it. What is
/// asked on any other thread than that of the turns is no part of the run and passes through.
///
/// What is noted stays in memory until the task has ended, so that every secret is known before a byte of it is written: at most
/// wire::max_cassette bytes, beyond which the recording is given up.

#include "transports/turn_thread.hpp"
#include "transports/unfinished.hpp"

#include <map>
#include <memory>
#include <string>

namespace conclave {

struct recording;

/// How the errors of `create` begin.
inline constexpr const char* cannot_record = "cannot record: ";

/// Why a team whose agents have workspaces is not recorded.
inline constexpr const char* no_tape_of_workspaces =
    "a run of agents with a workspace (`cwd`) cannot be recorded yet: what their commands and files do is not in a cassette; leave "
    "out --record, or `cwd`";
/// How a warning begins that the task has ended and no cassette is there.
inline constexpr const char* not_recorded = "recording: there is none: ";

/// How a warning begins that a model or the log has a secret where the cassette has a stand-in.
inline constexpr const char* stands_in = "recording: the value of a secret ";

class cassette_recorder final : public outside, public run_tape {
public:
  /// Makes `path`.partial (0600), which becomes `path` at the end of the task. Returns nullptr and says why in `error`: `path` is
  /// there already, the folder cannot be written to, another run records there.
  static std::shared_ptr<cassette_recorder> create(const std::string& path, std::shared_ptr<outside> machine, std::string& error);

  cassette_recorder(std::string path, int fd, std::unique_ptr<unfinished> partial, std::shared_ptr<outside> machine);
  ~cassette_recorder() override; ///< without an end of the task no file stays

  std::int64_t now_unix_ms() override;
  std::chrono::nanoseconds now_steady() override;
  std::int32_t utc_offset_s(std::int64_t unix_ms) override;
  std::uint32_t seed(const std::string& owner) override;
  std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers> readers) override;
  std::shared_ptr<child_process> start_child(child_options options, child_process::callbacks cb) override;
  std::shared_ptr<local_model> acquire_local_model(local_model_options options, std::shared_ptr<http_transfers> http,
                                                   local_model::callbacks cb) override;
  std::unique_ptr<event_store> open_store(const std::string& path, std::string& error, store_use use) override;
  std::shared_ptr<const tls_trust> load_trust(const ca_choice& choice, std::string& error) override;
  std::unique_ptr<lane> open_lane(const std::string& owner) override;
  std::unique_ptr<host_thread> start_thread(const std::string& name, std::function<void()> body) override;

  void attach(tape_links to) override;
  const std::string* variable(const std::string& name) override;
  std::string source(const std::string& name, std::string real) override;
  secrets known(secrets real) override;
  std::string log_folder(std::string real) override;
  std::string build(std::string real) override;
  std::string folder(std::string real) override;
  void start() override;
  std::string begin(const std::string& task, const opening& o, const std::string& question) override;
  void cancel(const std::string& reason, const std::function<void()>& act) override;
  std::string finish(const std::vector<std::string>& log) override;

private:
  bool here() const;
  std::string write_file();
  void remove_file(); ///< what is not a cassette yet

  const std::string path_;
  int fd_;
  std::unique_ptr<unfinished> partial_; ///< until it is finished, or removed
  const std::shared_ptr<outside> machine_;
  const std::shared_ptr<recording> tape_;
  std::map<std::string, std::uint64_t> seeds_;
  bool used_ = false;
};

} // namespace conclave
