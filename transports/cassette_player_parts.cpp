// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The parts that a player gives out, and how they get what is recorded.

#include "transports/cassette_play.hpp"

#include <chrono>
#include <utility>

namespace conclave {

using wire::tape_entry;
using wire::tape_kind;

namespace {

using play_ptr = std::shared_ptr<play>;

constexpr auto store_limit = std::chrono::seconds(60); ///< far beyond what the store itself waits for locks

class played_http final : public http_transfers {
public:
  explicit played_http(play_ptr p) : p_(std::move(p)) {}

  std::uint64_t start(http_request request, callbacks cb) override {
    auto id = ++p_->transfers;
    p_->open_transfers[id] = std::move(cb);
    if (p_->expect(note_request({}, id, request)) == nullptr)
      end(id);
    return id;
  }

  void cancel(std::uint64_t id) override {
    if (p_->on)
      p_->expect(note_of(tape_kind::abandon, id));
    if (!p_->on)
      end(id);
  }

private:
  /// Nothing comes from the cassette any more.
  void end(std::uint64_t id) {
    p_->links.turns->post([p = p_, id] {
      auto open = p->open_transfers.extract(id);
      if (!open.empty() && open.mapped().on_done)
        open.mapped().on_done({ec::cancelled, "the replay is over", 0, false, 0});
    });
  }

  play_ptr p_;
};

class played_child final : public child_process {
public:
  played_child(std::uint64_t id, play_ptr p) : id_(id), p_(std::move(p)) {}

  bool write(std::string bytes) override {
    auto* e = p_->expect(note_write({}, id_, bytes));
    return e != nullptr && e->ok;
  }
  void close() override { p_->expect(note_of(tape_kind::close_child, id_)); }
  void kill() override {
    auto e = note_of(tape_kind::close_child, id_);
    e.number = 1;
    p_->expect(e);
  }
  int pid() const override { return 0; }
  std::string last_words() const override {
    auto* e = p_->expect(note_of(tape_kind::last_words, id_));
    return e != nullptr ? e->text : std::string{};
  }
  void log(std::string) override {}
  void consumed(std::size_t) override {}

private:
  std::uint64_t id_;
  play_ptr p_;
};

class played_store final : public forwarding_store {
public:
  played_store(std::unique_ptr<event_store> to, play_ptr p) : forwarding_store(std::move(to)), p_(std::move(p)) {}

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override {
    batch.note.played = true; // not in the log, which is that of the recorded run to the byte
    if (!p_->here())
      return to_->append(std::move(task), fence, expected_seq, std::move(batch), std::move(done));
    auto id = ++p_->appends;
    auto answer = std::make_shared<store_answer>();
    answer->done = std::move(done);
    auto sha = sha_of_log(batch.events, p_->tape.head.without_hashes);
    auto asked = note_append(id, expected_seq, batch.events.size(), std::move(sha));
    if (p_->on && p_->expect(asked) != nullptr) {
      p_->open_appends[id] = answer;
      if (p_->failed_appends.count(id) == 0)
        to_->append(std::move(task), fence, expected_seq, std::move(batch), [answer](append_result r) {
          std::lock_guard guard(answer->mutex);
          answer->result = std::move(r);
          answer->came.notify_all();
          if (answer->free)
            answer->free->post([answer] { answer->done(*answer->result); });
        });
      return;
    }
    to_->append(std::move(task), fence, expected_seq, std::move(batch),
                [p = p_, answer](append_result r) { p->links.turns->post([answer, r = std::move(r)] { answer->done(r); }); });
  }

private:
  play_ptr p_;
};

class played_lane final : public lane {
public:
  played_lane(std::string owner, play_ptr p) : owner_(std::move(owner)), p_(std::move(p)) {}

  bool run(job, done then) override {
    if (!then) // the outside is told something: there is none
      return true;
    auto asked = note_of(tape_kind::job, ++p_->jobs);
    asked.note = owner_;
    auto* e = p_->expect(asked);
    if (e != nullptr && e->ok)
      p_->open_jobs[asked.id] = std::move(then);
    return e != nullptr && e->ok;
  }

private:
  std::string owner_;
  play_ptr p_;
};

/// Returns the entry of a table, which is taken out if `last`. Without one the cassette is at odds with itself.
template <class T>
std::optional<T> find(play& p, std::map<std::uint64_t, T>& open, const tape_entry& e, bool last) {
  auto i = open.find(e.id);
  if (i == open.end()) {
    p.differ("the cassette's line " + std::to_string(e.line) + " (" + wire::shown_entry(e) + ") answers nothing that was asked");
    return {};
  }
  auto out = i->second;
  if (last)
    open.erase(i);
  return out;
}

void let_in_stored(play& p, const tape_entry& e) {
  auto answer = find(p, p.open_appends, e, true);
  if (!answer)
    return;
  auto& a = **answer;
  append_result r;
  r.code = ec_from_string(e.note);
  r.error = e.text;
  if (r.code == ec::none) {
    std::unique_lock lock(a.mutex);
    if (!a.came.wait_for(lock, store_limit, [&] { return a.result.has_value(); })) {
      a.free = p.links.turns;
      lock.unlock();
      return p.differ("the event store gives no answer");
    }
    r = *a.result;
    lock.unlock();
    if (r.code != ec::none)
      p.differ("the event store failed: " + r.error);
  }
  a.done(std::move(r));
}

void let_in_http(play& p, const tape_entry& e) {
  auto cb = find(p, p.open_transfers, e, e.kind == tape_kind::done);
  if (!cb)
    return;
  if (e.kind == tape_kind::data && cb->on_data)
    cb->on_data(e.text);
  if (e.kind == tape_kind::head && cb->on_head)
    cb->on_head({static_cast<int>(e.number), e.pairs, static_cast<int>(e.other), e.more});
  if (e.kind == tape_kind::done && cb->on_done)
    cb->on_done({ec_from_string(e.note), e.text, static_cast<int>(e.number), e.ok, static_cast<int>(e.other)});
}

void let_in_child(play& p, const tape_entry& e) {
  auto cb = find(p, p.open_children, e, e.kind == tape_kind::child_exit);
  if (!cb)
    return;
  if (e.kind == tape_kind::lines && cb->on_lines)
    cb->on_lines(e.texts);
  if (e.kind == tape_kind::silence && cb->on_silence)
    cb->on_silence();
  if (e.kind == tape_kind::deaf && cb->on_deaf)
    cb->on_deaf();
  if (e.kind == tape_kind::child_exit && cb->on_exit)
    cb->on_exit({e.ok, static_cast<int>(e.number), e.text});
}

void let_in_model(play& p, const tape_entry& e) {
  auto cb = find(p, p.open_models, e, e.kind == tape_kind::model_failed);
  if (!cb)
    return;
  if (e.kind == tape_kind::model_progress)
    cb->on_progress(e.text);
  else if (e.kind == tape_kind::model_ready)
    cb->on_ready({e.text, e.note, static_cast<std::int32_t>(e.number)});
  else
    cb->on_failed(ec_from_string(e.note), e.text);
}

} // namespace

std::shared_ptr<http_transfers> make_played_http(std::shared_ptr<play> p) {
  return std::make_shared<played_http>(std::move(p));
}

std::shared_ptr<child_process> start_played_child(const std::shared_ptr<play>& p, const child_options& options,
                                                  child_process::callbacks cb) {
  auto asked = note_child({}, ++p->children, options, p->tape.head.home);
  auto* e = p->expect(asked);
  if (e == nullptr) {
    p->links.turns->post([f = std::move(cb.on_exit)] { f({false, 0, "the replay is over"}); });
    return nullptr;
  }
  p->open_children[asked.id] = std::move(cb);
  return e->ok ? std::make_shared<played_child>(asked.id, p) : nullptr;
}

std::unique_ptr<event_store> make_played_store(std::unique_ptr<event_store> to, std::shared_ptr<play> p) {
  return std::make_unique<played_store>(std::move(to), std::move(p));
}

std::unique_ptr<lane> make_played_lane(std::string owner, std::shared_ptr<play> p) {
  return std::make_unique<played_lane>(std::move(owner), std::move(p));
}

void let_in(play& p, const tape_entry& e) {
  switch (e.kind) {
  case tape_kind::head:
  case tape_kind::data:
  case tape_kind::done:
    return let_in_http(p, e);
  case tape_kind::lines:
  case tape_kind::silence:
  case tape_kind::deaf:
  case tape_kind::child_exit:
    return let_in_child(p, e);
  case tape_kind::stored:
    return let_in_stored(p, e);
  case tape_kind::job_done:
    if (auto done = find(p, p.open_jobs, e, true))
      (*done)({e.text, !e.ok});
    return;
  case tape_kind::model_progress:
  case tape_kind::model_ready:
  case tape_kind::model_failed:
    return let_in_model(p, e);
  case tape_kind::cancel:
    return p.links.end_task(e.text);
  default:
    return p.differ("the cassette's line " + std::to_string(e.line) + " cannot come in");
  }
}

} // namespace conclave
