// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What the parts of a recorded outside share, and how they name what is asked. Private to transports/cassette_*.

#include "protocols/stand_ins.hpp"
#include "protocols/wire/cassette.hpp"
#include "transports/turn_thread.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace conclave {

/// All members on the turn thread, but `links.turns`, which is there before anybody else has this.
struct recording {
  tape_links links;
  bool on = false;   ///< from the beginning of the task to its end
  bool full = false; ///< there was too much
  bool told = false; ///< a secret is in a text of the log, or in one that it names by its hash, which no stand-in has
  wire::tape_head head;
  stand_ins hidden;
  stand_ins brief{4};    ///< also of keys that are too short to be looked for everywhere: where a configuration has them
  bool in_parts = false; ///< a request has one that none of its strings holds alone
  bool in_names = false; ///< one is the name of a tool, or in it: they are put in order, and a stand-in comes elsewhere in it
  std::vector<wire::tape_entry> entries;
  std::map<std::size_t, std::string> by_text; ///< of the appends among `entries`: what they are compared by if there are no hashes
  std::size_t bytes = 0;
  std::uint64_t transfers = 0, children = 0, appends = 0, jobs = 0, models = 0;

  bool here() const { return links.turns && links.turns->here(); }
  void asked(wire::tape_entry e);                                                   ///< notes a question
  void came_in(wire::tape_entry e);                                                 ///< notes an input, at the time of the turn
  void request(std::uint64_t id, const http_request& r);                            ///< notes a request
  void append(std::uint64_t id, std::uint64_t expected_seq, const append_batch& b); ///< notes an append

  /// Where `log`, and the run it is of, hold a secret that is not hidden there. For people.
  std::string places(const std::vector<std::string>& log) const;
};

/// Puts stand-ins into what came in: over all pieces of a transfer, as a secret may be cut by the network, and into what a reader
/// puts together of it. Returns whether there was one of which no string had all.
bool hide_inputs(recording& tape);

// Questions as they are compared: secrets are replaced, and a path below the user's home, or below `home`, begins with ~.
wire::tape_entry note_request(const stand_ins& hidden, std::uint64_t id, const http_request& r, bool* in_parts = nullptr);
wire::tape_entry note_child(const stand_ins& hidden, std::uint64_t id, const child_options& o, const std::string& home);
wire::tape_entry note_write(const stand_ins& hidden, std::uint64_t id, const std::string& bytes);
wire::tape_entry note_append(std::uint64_t id, std::uint64_t expected_seq, std::size_t events, std::string sha);
wire::tape_entry note_model(const stand_ins& hidden, std::uint64_t id, const local_model_options& o, const std::string& home);
wire::tape_entry note_of(wire::tape_kind kind, std::uint64_t id, std::string text = {});

/// The SHA-256 of a log: of its lines, each with its line feed; with or without the hashes in them (wire::without_hashes).
std::string sha_of_log(const std::vector<std::string>& lines, bool without_hashes);

/// A store that hands everything on but appends made on the turn thread.
std::unique_ptr<event_store> make_recorded_store(std::unique_ptr<event_store> to, std::shared_ptr<recording> tape);
std::shared_ptr<http_transfers> make_recorded_http(std::shared_ptr<http_transfers> to, std::shared_ptr<recording> tape);
std::shared_ptr<http_transfers> unrecorded(const std::shared_ptr<http_transfers>& http); ///< what is behind the one above
std::shared_ptr<child_process> start_recorded_child(outside& from, child_options options, child_process::callbacks cb,
                                                    std::shared_ptr<recording> tape);
std::unique_ptr<lane> make_recorded_lane(std::unique_ptr<lane> to, std::string owner, std::shared_ptr<recording> tape);

/// Hands everything on.
class forwarding_store : public event_store {
public:
  explicit forwarding_store(std::unique_ptr<event_store> to) : to_(std::move(to)) {}

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override {
    to_->append(std::move(task), fence, expected_seq, std::move(batch), std::move(done));
  }
  void claim(std::string task, task_owner owner, std::function<void(claim_result)> done) override {
    to_->claim(std::move(task), std::move(owner), std::move(done));
  }
  void release(const std::string& task) override { to_->release(task); }
  void keep_ended(bool on) override { to_->keep_ended(on); }
  void read(std::string task, std::uint64_t after, std::size_t limit, std::function<void(event_page)> done) override {
    to_->read(std::move(task), after, limit, std::move(done));
  }
  void read_bodies(std::string task, std::vector<std::string> shas, std::function<void(body_page)> done) override {
    to_->read_bodies(std::move(task), std::move(shas), std::move(done));
  }
  bool request_cancel(const std::string& task, const std::string& reason, std::string& error) override {
    return to_->request_cancel(task, reason, error);
  }
  void on_cancel(std::function<void(std::string, std::string)> told) override { to_->on_cancel(std::move(told)); }
  std::vector<stored_event> read(const std::string& task, std::uint64_t after, std::string& error) override {
    return to_->read(task, after, error);
  }
  std::vector<stored_body> bodies(const std::string& task, const std::vector<std::string>& shas, std::string& error) override {
    return to_->bodies(task, shas, error);
  }
  std::vector<task_row> list(std::string& error) override { return to_->list(error); }
  std::optional<task_row> find(const std::string& task, std::string& error) override { return to_->find(task, error); }
  bool remove(const std::string& task, std::string& error) override { return to_->remove(task, error); }
  std::vector<std::string> prune(std::int64_t before_ms, std::string& error) override { return to_->prune(before_ms, error); }
  std::vector<std::string> remove_all(const std::vector<std::string>& tasks, std::string& error) override {
    return to_->remove_all(tasks, error);
  }

protected:
  std::unique_ptr<event_store> to_;
};

} // namespace conclave
