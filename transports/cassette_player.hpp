// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The outside of an engine that plays a recorded run again: there is no network, no child and no other code, what they said comes
/// from the cassette. The store is real; when it answers is as it was recorded. A question that the cassette does not hold ends the
/// play: from there on nothing comes in, and `failure` says what differs.

#include "protocols/wire/cassette.hpp"
#include "transports/turn_thread.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace conclave {

struct play;

class cassette_player final : public outside, public run_tape, public turn_source {
public:
  /// `speed`: 1 = as it went, 0 = as fast as it goes.
  cassette_player(wire::cassette tape, double speed, std::shared_ptr<outside> machine);

  const wire::tape_head& head() const; ///< any thread
  double speed() const { return speed_; }

  /// What differs from the recorded run, or empty. Once the engine has stopped.
  std::string failure() const;
  bool stopped() const; ///< by the host, before its end; likewise

  // The same list as in cassette_recorder.hpp: every member of `outside` and `run_tape`, declared by each that implements them.
  std::int64_t now_unix_ms() override;
  std::chrono::nanoseconds now_steady() override;
  std::int32_t utc_offset_s(std::int64_t unix_ms) override;
  std::uint32_t seed(const std::string& owner) override;
  std::shared_ptr<http_transfers> open_http(std::shared_ptr<text_readers>) override;
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

  std::optional<std::chrono::nanoseconds> due() override;
  void take() override;

private:
  const double speed_;
  const std::shared_ptr<outside> machine_;
  const std::shared_ptr<play> play_;
  std::map<std::string, std::uint64_t> seeds_;
};

} // namespace conclave
