// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/cassette_player.hpp"

#include "protocols/key_route.hpp"
#include "transports/cassette_play.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

using wire::tape_entry;
using wire::tape_kind;

namespace {

/// Whether a question is the recorded one. What is an answer in the entry does not count.
bool same_question(const tape_entry& a, const tape_entry& b) {
  auto answered = a.kind == tape_kind::last_words || a.kind == tape_kind::trust;
  return a.kind == b.kind && a.id == b.id && a.note == b.note && a.number == b.number && a.other == b.other && a.texts == b.texts
         && (answered || a.text == b.text);
}

std::string size_of(const tape_entry& e) {
  return std::to_string(e.number) + " bytes";
}

/// What the two differ in, where their names do not tell.
std::string difference(const tape_entry& was, const tape_entry& is) {
  if (was.kind != is.kind || wire::shown_entry(was) != wire::shown_entry(is))
    return ": recorded is " + wire::shown_entry(was) + ", asked for is " + wire::shown_entry(is);
  auto head = ": " + wire::shown_entry(was) + " is another one than what is recorded";
  if (was.kind == tape_kind::request && was.texts != is.texts)
    return head + ": its headers are";
  if (was.kind == tape_kind::request || was.kind == tape_kind::write)
    return head
           + (was.number == is.number ? ": of its " + size_of(was) + " some differ"
                                      : ": it has " + size_of(is) + ", recorded are " + size_of(was));
  return head;
}

} // namespace

const tape_entry* play::expect(const tape_entry& asked) {
  if (!on)
    return nullptr;
  auto& recorded = tape.entries[at]; // there is the end, at least
  if (same_question(recorded, asked)) {
    ++at;
    return &recorded;
  }
  auto place = "line " + std::to_string(recorded.line) + ": ";
  if (wire::is_input(recorded.kind) || recorded.kind == tape_kind::end)
    differ(place + "this build asks for more than what is recorded: " + wire::shown_entry(asked));
  else
    differ(place + "this build asks differently" + difference(recorded, asked));
  return nullptr;
}

void play::leave() {
  on = false;
  // Nothing tells any more when the store has answered: it counts when it comes.
  for (auto& [id, answer] : std::exchange(open_appends, {})) {
    std::lock_guard guard(answer->mutex);
    if (failed_appends.count(id) > 0)
      answer->result = append_result{ec::cancelled, "the replay is over", 0};
    answer->free = links.turns;
    if (answer->result)
      links.turns->post([a = answer] { a->done(*a->result); });
  }
}

void play::differ(const std::string& what) {
  if (!failure.empty())
    return;
  failure = what;
  leave();
  links.turns->post([end = links.end_task] { end("the replay is over"); });
}

cassette_player::cassette_player(wire::cassette tape, double speed, std::shared_ptr<outside> machine)
    : speed_(speed), machine_(std::move(machine)), play_(std::make_shared<play>()) {
  play_->tape = std::move(tape);
  for (auto& e : play_->tape.entries)
    if (e.kind == tape_kind::stored && ec_from_string(e.note) != ec::none)
      play_->failed_appends.insert(e.id);
}

const wire::tape_head& cassette_player::head() const {
  return play_->tape.head;
}

std::string cassette_player::failure() const {
  return play_->failure;
}

bool cassette_player::stopped() const {
  return play_->stopped;
}

std::int64_t cassette_player::now_unix_ms() {
  if (!play_->here())
    return machine_->now_unix_ms();
  return head().start_unix_ms + std::chrono::duration_cast<std::chrono::milliseconds>(play_->links.turns->elapsed()).count();
}

std::chrono::nanoseconds cassette_player::now_steady() {
  return play_->here() ? play_->links.turns->elapsed() : machine_->now_steady();
}

std::int32_t cassette_player::utc_offset_s(std::int64_t unix_ms) {
  return play_->here() ? head().utc_offset_s : machine_->utc_offset_s(unix_ms);
}

std::uint32_t cassette_player::seed(const std::string& owner) {
  return play_->here() ? derived_seed(head().seed, owner, ++seeds_[owner]) : machine_->seed(owner);
}

std::shared_ptr<http_transfers> cassette_player::open_http(std::shared_ptr<text_readers>) {
  return make_played_http(play_);
}

std::shared_ptr<child_process> cassette_player::start_child(child_options options, child_process::callbacks cb) {
  return start_played_child(play_, options, std::move(cb));
}

std::shared_ptr<local_model> cassette_player::acquire_local_model(local_model_options options, std::shared_ptr<http_transfers>,
                                                                  local_model::callbacks cb) {
  struct use final : local_model {};
  auto asked = note_model({}, ++play_->models, options, head().home);
  if (play_->expect(asked) == nullptr) {
    play_->links.turns->post([f = std::move(cb.on_failed)] { f(ec::cancelled, "the replay is over"); });
    return nullptr;
  }
  play_->open_models[asked.id] = std::move(cb);
  return std::make_shared<use>();
}

std::unique_ptr<event_store> cassette_player::open_store(const std::string& path, std::string& error, store_use use) {
  auto store = machine_->open_store(path, error, use);
  return store ? make_played_store(std::move(store), play_) : nullptr;
}

std::shared_ptr<const tls_trust> cassette_player::load_trust(const ca_choice& choice, std::string& error) {
  auto* e = play_->expect(note_of(tape_kind::trust, 0));
  if (e != nullptr)
    error = e->text;
  if (e == nullptr || !e->ok)
    return nullptr;
  // What is in the files is nobody's matter here, but whether two connections have the same ones is.
  auto trust = std::make_shared<tls_trust>();
  trust->file = choice.bundle.path;
  trust->folder = choice.folder.path;
  trust->pem = choice.extra.path;
  return trust;
}

std::unique_ptr<lane> cassette_player::open_lane(const std::string& owner) {
  return make_played_lane(owner, play_);
}

std::unique_ptr<host_thread> cassette_player::start_thread(const std::string& name, std::function<void()> body) {
  return machine_->start_thread(name, std::move(body));
}

void cassette_player::attach(tape_links to) {
  play_->links = std::move(to);
}

const std::string* cassette_player::variable(const std::string& name) {
  auto i = head().variables.find(name);
  return i == head().variables.end() ? nullptr : &i->second.value;
}

std::string cassette_player::source(const std::string& name, std::string) {
  auto i = head().variables.find(name);
  return i == head().variables.end() ? std::string{} : i->second.source;
}

secrets cassette_player::known(secrets) {
  secrets out;
  for (auto& value : head().known)
    out.add_key(value);
  return out;
}

std::string cassette_player::log_folder(std::string) {
  return head().log_folder;
}

std::string cassette_player::build(std::string) {
  return head().build;
}

std::string cassette_player::folder(std::string) {
  opening recorded;
  std::string ignored;
  return from_json(head().opening, recorded, ignored) ? recorded.folder : std::string{};
}

void cassette_player::start() {}

std::string cassette_player::begin(const std::string& task, const opening&, const std::string&) {
  if (task != head().task) // the line was made up, or this build draws its ids another way
    return play_->failure = "line 1: it is of task " + head().task + ", and with its seed and start this build plays " + task;
  play_->on = true;
  return {};
}

void cassette_player::cancel(const std::string& reason, const std::function<void()>& act) {
  if (play_->on) {
    play_->failure = "it was ended: " + reason;
    play_->stopped = true;
    play_->leave();
  }
  act();
}

std::string cassette_player::finish(const std::vector<std::string>& log) {
  if (!play_->on)
    return {};
  auto& recorded = play_->tape.entries[play_->at];
  play_->on = false;
  if (recorded.kind != tape_kind::end)
    play_->failure = "line " + std::to_string(recorded.line) + ": the task has ended, recorded is " + wire::shown_entry(recorded);
  else if (recorded.text != sha_of_log(log, head().without_hashes))
    play_->failure = "the log is another one than that of the recorded run";
  return {};
}

std::optional<std::chrono::nanoseconds> cassette_player::due() {
  auto& p = *play_;
  if (!p.on)
    return {};
  p.next_input = std::max(p.next_input, p.at);
  auto& all = p.tape.entries;
  while (!wire::is_input(all[p.next_input].kind) && all[p.next_input].kind != tape_kind::end)
    ++p.next_input;
  return std::chrono::nanoseconds(all[p.next_input].at_ns);
}

void cassette_player::take() {
  auto& p = *play_;
  auto& e = p.tape.entries[p.at];
  if (p.at != p.next_input)
    return p.differ("line " + std::to_string(e.line) + ": this build does not ask for what is recorded: " + wire::shown_entry(e));
  if (e.kind == tape_kind::end)
    return p.differ("line " + std::to_string(e.line) + ": the recorded task had ended here, this one goes on");
  ++p.at;
  let_in(p, e);
}

} // namespace conclave
