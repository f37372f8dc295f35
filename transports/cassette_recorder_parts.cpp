// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The parts that a recorded outside gives out.

#include "transports/cassette_notes.hpp"

#include <map>
#include <utility>

namespace conclave {

using wire::tape_kind;

namespace {

using tape_ptr = std::shared_ptr<recording>;

/// Makes of a callback an input: `note` notes its value, then it is called.
template <class T, class Note>
std::function<void(T)> as_input(const tape_ptr& tape, std::function<void(T)> f, Note note) {
  return [tape, f = std::move(f), note](T value) {
    tape->links.turns->post([tape, f, note, v = std::move(value)]() mutable {
      if (tape->on)
        tape->came_in(note(v));
      if (f)
        f(std::move(v));
    });
  };
}

class recorded_http final : public http_transfers {
public:
  recorded_http(std::shared_ptr<http_transfers> to, tape_ptr tape) : to_(std::move(to)), tape_(std::move(tape)) {}

  std::uint64_t start(http_request request, callbacks cb) override {
    if (!tape_->here())
      return to_->start(std::move(request), std::move(cb));
    auto id = ++tape_->transfers;
    if (tape_->on)
      tape_->request(id, request);
    callbacks mine;
    mine.on_head = as_input(tape_, std::move(cb.on_head), [id](const http_head& h) {
      auto e = note_of(tape_kind::head, id);
      e.number = h.status;
      e.other = h.redirects;
      e.more = h.at_s;
      for (auto& [name, value] : h.headers) // cookies and the like; a number is none
        e.pairs.emplace_back(name, may_be_secret(name, value) ? std::string(value.size(), 'x') : value);
      return e;
    });
    mine.on_data = as_input(tape_, std::move(cb.on_data), [id](const std::string& x) { return note_of(tape_kind::data, id, x); });
    mine.on_done = as_input(tape_, std::move(cb.on_done), [id](const http_end& end) {
      auto e = note_of(tape_kind::done, id, end.error);
      e.note = to_string(end.code);
      e.number = end.status;
      e.other = end.redirects;
      e.ok = end.sent;
      return e;
    });
    own_[id] = to_->start(std::move(request), std::move(mine));
    return first_own + id;
  }

  void cancel(std::uint64_t id) override {
    if (id < first_own)
      return to_->cancel(id);
    if (tape_->on)
      tape_->asked(note_of(tape_kind::abandon, id - first_own));
    if (auto i = own_.find(id - first_own); i != own_.end())
      to_->cancel(i->second);
  }

  const std::shared_ptr<http_transfers>& behind() const { return to_; }

private:
  static constexpr std::uint64_t first_own = std::uint64_t{1} << 62; ///< above every id of others
  std::shared_ptr<http_transfers> to_;
  tape_ptr tape_;
  std::map<std::uint64_t, std::uint64_t> own_; ///< of the turn thread
};

class recorded_child final : public child_process {
public:
  recorded_child(std::shared_ptr<child_process> to, std::uint64_t id, tape_ptr tape)
      : to_(std::move(to)), id_(id), tape_(std::move(tape)) {}

  bool write(std::string bytes) override {
    if (!tape_->here() || !tape_->on)
      return to_->write(std::move(bytes));
    auto e = note_write(tape_->hidden, id_, bytes);
    e.ok = to_->write(std::move(bytes));
    auto ok = e.ok;
    tape_->asked(std::move(e));
    return ok;
  }
  void close() override {
    note_end(0);
    to_->close();
  }
  void kill() override {
    note_end(1);
    to_->kill();
  }
  int pid() const override { return to_->pid(); }
  std::string last_words() const override {
    auto words = to_->last_words();
    if (!tape_->here() || !tape_->on)
      return words;
    auto said = words;
    // Cut at its beginning: half a secret is not known as one.
    if (said.size() >= max_last_words)
      for (std::size_t i = 0; i < said.size() && said[i] != ' ' && said[i] != '\t' && said[i] != '\r' && said[i] != '\n'; ++i)
        said[i] = 'x';
    tape_->asked(note_of(tape_kind::last_words, id_, std::move(said)));
    return words;
  }
  void log(std::string line) override { to_->log(std::move(line)); }
  void consumed(std::size_t weight) override { to_->consumed(weight); }

private:
  void note_end(std::int64_t by_force) {
    if (!tape_->here() || !tape_->on)
      return;
    auto e = note_of(tape_kind::close_child, id_);
    e.number = by_force;
    tape_->asked(std::move(e));
  }

  std::shared_ptr<child_process> to_;
  std::uint64_t id_;
  tape_ptr tape_;
};

class recorded_store final : public forwarding_store {
public:
  recorded_store(std::unique_ptr<event_store> to, tape_ptr tape) : forwarding_store(std::move(to)), tape_(std::move(tape)) {}

  void append(std::string task, std::uint64_t fence, std::uint64_t expected_seq, append_batch batch, callback done) override {
    if (!tape_->here())
      return to_->append(std::move(task), fence, expected_seq, std::move(batch), std::move(done));
    auto id = ++tape_->appends;
    if (tape_->on)
      tape_->append(id, expected_seq, batch);
    to_->append(std::move(task), fence, expected_seq, std::move(batch),
                as_input(tape_, std::move(done), [id](const append_result& r) {
                  auto e = note_of(tape_kind::stored, id, r.error);
                  e.note = to_string(r.code);
                  return e;
                }));
  }

private:
  tape_ptr tape_;
};

class recorded_lane final : public lane {
public:
  recorded_lane(std::unique_ptr<lane> to, std::string owner, tape_ptr tape)
      : to_(std::move(to)), owner_(std::move(owner)), tape_(std::move(tape)) {}

  bool run(job what, done then) override {
    if (!then || !tape_->here())
      return to_->run(std::move(what), std::move(then));
    auto e = note_of(tape_kind::job, ++tape_->jobs);
    e.note = owner_;
    auto result = as_input(tape_, std::move(then), [id = e.id](const job_result& r) {
      auto x = note_of(tape_kind::job_done, id, r.text);
      x.ok = !r.failed;
      return x;
    });
    e.ok = to_->run(std::move(what), std::move(result));
    auto ok = e.ok;
    tape_->asked(std::move(e));
    return ok;
  }

private:
  std::unique_ptr<lane> to_;
  std::string owner_;
  tape_ptr tape_;
};

} // namespace

std::unique_ptr<event_store> make_recorded_store(std::unique_ptr<event_store> to, std::shared_ptr<recording> tape) {
  return std::make_unique<recorded_store>(std::move(to), std::move(tape));
}

std::shared_ptr<http_transfers> make_recorded_http(std::shared_ptr<http_transfers> to, std::shared_ptr<recording> tape) {
  return std::make_shared<recorded_http>(std::move(to), std::move(tape));
}

std::shared_ptr<http_transfers> unrecorded(const std::shared_ptr<http_transfers>& http) {
  auto mine = std::dynamic_pointer_cast<recorded_http>(http);
  return mine ? mine->behind() : http;
}

std::shared_ptr<child_process> start_recorded_child(outside& from, child_options options, child_process::callbacks cb,
                                                    std::shared_ptr<recording> tape) {
  auto e = note_child(tape->hidden, ++tape->children, options, {});
  auto id = e.id;
  child_process::callbacks mine;
  mine.on_lines = as_input(tape, std::move(cb.on_lines), [id](const std::vector<std::string>& lines) {
    auto x = note_of(tape_kind::lines, id);
    x.texts = lines;
    return x;
  });
  mine.on_exit = as_input(tape, std::move(cb.on_exit), [id](const child_exit& end) {
    auto x = note_of(tape_kind::child_exit, id, end.error);
    x.number = end.status;
    x.ok = end.started;
    return x;
  });
  auto closed = [&](tape_kind what, std::function<void()> f) {
    return [tape, id, what, f = std::move(f)] {
      tape->links.turns->post([tape, id, what, f] {
        tape->came_in(note_of(what, id));
        if (f)
          f();
      });
    };
  };
  mine.on_silence = closed(tape_kind::silence, std::move(cb.on_silence));
  mine.on_deaf = closed(tape_kind::deaf, std::move(cb.on_deaf));
  auto child = from.start_child(std::move(options), std::move(mine));
  e.ok = child != nullptr;
  tape->asked(std::move(e));
  return child ? std::make_shared<recorded_child>(std::move(child), id, std::move(tape)) : nullptr;
}

std::unique_ptr<lane> make_recorded_lane(std::unique_ptr<lane> to, std::string owner, std::shared_ptr<recording> tape) {
  return std::make_unique<recorded_lane>(std::move(to), std::move(owner), std::move(tape));
}

} // namespace conclave
