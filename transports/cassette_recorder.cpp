// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/cassette_recorder.hpp"

#include "protocols/catalogue.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "transports/cassette_notes.hpp"
#include "transports/home.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace conclave {

using wire::tape_kind;

namespace {

constexpr const char* unfinished_end = ".partial";

std::string why(const std::string& path) {
  return path + ": " + std::strerror(errno);
}

/// Opens the file that becomes `path`, for this process alone. Returns a negative number and says why in `error`.
int begin_file(const std::string& path, const std::string& partial, std::string& error) {
  auto fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    error = cannot_record + why(partial);
  else if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    error = cannot_record + ("another run is recording to " + path);
  else if (::fchmod(fd, 0600) != 0 || ::ftruncate(fd, 0) != 0) // of a recording that was cut off, by kill -9 say
    error = cannot_record + why(partial);
  else
    return fd;
  if (fd >= 0)
    ::close(fd);
  return -1;
}

bool write_whole(int fd, std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    auto n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR)
      return false;
    done += n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  bytes.clear();
  return true;
}

/// Every variable that a configuration refers to, and the one that holds a key.
std::map<std::string, std::string> variables_of(const backend_config& b, const tape_links& links) {
  std::map<std::string, std::string> out;
  auto add = [&](const std::string& name) {
    if (auto* value = name.empty() ? nullptr : links.env(name))
      out[name] = *value;
  };
  auto all = [&](const std::string& text) {
    for (auto& name : references_in(text))
      add(name);
  };
  for (auto& name : key_names(b))
    add(name);
  for (auto* text : {&b.api_key, &b.base_url, &b.params, &b.extra_body})
    all(*text);
  for (auto* values : {&b.extra_headers, &b.extra_query})
    for (auto& [name, value] : *values)
      all(value);
  for (auto& server : b.mcp_servers) {
    for (auto& word : server.command)
      all(word);
    for (auto* values : {&server.env, &server.headers})
      for (auto& [name, value] : *values)
        all(value);
    all(server.url);
  }
  return out;
}

} // namespace

std::shared_ptr<cassette_recorder> cassette_recorder::create(const std::string& path, std::shared_ptr<outside> machine,
                                                             std::string& error) {
  struct ::stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    error = cannot_record + path + " exists; a cassette is written to a new file";
    return nullptr;
  }
  auto partial = path + unfinished_end;
  auto fd = -1;
  auto begun = unfinished::make([&] {
    fd = begin_file(path, partial, error);
    return fd < 0 ? std::string{} : partial;
  });
  if (!begun)
    return nullptr;
  return std::make_shared<cassette_recorder>(path, fd, std::move(begun), std::move(machine));
}

cassette_recorder::cassette_recorder(std::string path, int fd, std::unique_ptr<unfinished> partial,
                                     std::shared_ptr<outside> machine)
    : path_(std::move(path)), fd_(fd), partial_(std::move(partial)), machine_(std::move(machine)),
      tape_(std::make_shared<recording>()) {}

cassette_recorder::~cassette_recorder() {
  remove_file();
}

void cassette_recorder::remove_file() {
  if (fd_ < 0)
    return;
  ::unlink((path_ + unfinished_end).c_str());
  partial_.reset();
  ::close(std::exchange(fd_, -1));
}

bool cassette_recorder::here() const {
  return tape_->here();
}

std::int64_t cassette_recorder::now_unix_ms() {
  if (!here())
    return machine_->now_unix_ms();
  return tape_->head.start_unix_ms + std::chrono::duration_cast<std::chrono::milliseconds>(tape_->links.turns->elapsed()).count();
}

std::chrono::nanoseconds cassette_recorder::now_steady() {
  return here() ? tape_->links.turns->elapsed() : machine_->now_steady();
}

std::int32_t cassette_recorder::utc_offset_s(std::int64_t unix_ms) {
  return here() ? tape_->head.utc_offset_s : machine_->utc_offset_s(unix_ms);
}

std::uint32_t cassette_recorder::seed(const std::string& owner) {
  if (!here())
    return machine_->seed(owner);
  auto name = owner;
  tape_->hidden.put_in(name); // an agent may be called like a secret; when the run is played it is called like the stand-in
  return derived_seed(tape_->head.seed, name, ++seeds_[name]);
}

std::shared_ptr<http_transfers> cassette_recorder::open_http(std::shared_ptr<text_readers> readers) {
  return make_recorded_http(machine_->open_http(std::move(readers)), tape_);
}

std::shared_ptr<child_process> cassette_recorder::start_child(child_options options, child_process::callbacks cb) {
  if (!here())
    return machine_->start_child(std::move(options), std::move(cb));
  return start_recorded_child(*machine_, std::move(options), std::move(cb), tape_);
}

std::shared_ptr<local_model> cassette_recorder::acquire_local_model(local_model_options options,
                                                                    std::shared_ptr<http_transfers> http,
                                                                    local_model::callbacks cb) {
  http = unrecorded(http); // how it finds out that its server is ready is its own business
  if (!here())
    return machine_->acquire_local_model(std::move(options), std::move(http), std::move(cb));
  auto id = ++tape_->models;
  tape_->asked(note_model(tape_->hidden, id, options, {}));
  auto post = [tape = tape_](wire::tape_entry e, std::function<void()> then) {
    tape->links.turns->post([tape, e = std::move(e), then = std::move(then)]() mutable {
      if (e.kind == tape_kind::model_ready)
        tape->hidden.add_key(e.note);
      tape->came_in(std::move(e));
      then();
    });
  };
  local_model::callbacks mine;
  mine.on_progress = [post, id, f = std::move(cb.on_progress)](const std::string& text) {
    post(note_of(tape_kind::model_progress, id, text), [f, text] { f(text); });
  };
  mine.on_ready = [post, id, f = std::move(cb.on_ready)](const local_endpoint& to) {
    auto e = note_of(tape_kind::model_ready, id, to.base_url);
    e.note = to.api_key;
    e.number = to.slots;
    post(std::move(e), [f, to] { f(to); });
  };
  mine.on_failed = [post, id, f = std::move(cb.on_failed)](ec code, const std::string& text) {
    auto e = note_of(tape_kind::model_failed, id, text);
    e.note = to_string(code);
    post(std::move(e), [f, code, text] { f(code, text); });
  };
  return machine_->acquire_local_model(std::move(options), std::move(http), std::move(mine));
}

std::unique_ptr<event_store> cassette_recorder::open_store(const std::string& path, std::string& error, store_use use) {
  auto store = machine_->open_store(path, error, use);
  return store ? make_recorded_store(std::move(store), tape_) : nullptr;
}

std::shared_ptr<const tls_trust> cassette_recorder::load_trust(const ca_choice& choice, std::string& error) {
  auto trust = machine_->load_trust(choice, error);
  if (here() && tape_->on) {
    auto e = note_of(tape_kind::trust, 0, error);
    e.ok = trust != nullptr;
    tape_->asked(std::move(e));
  }
  return trust;
}

std::unique_ptr<lane> cassette_recorder::open_lane(const std::string& owner) {
  return make_recorded_lane(machine_->open_lane(owner), owner, tape_);
}

std::unique_ptr<host_thread> cassette_recorder::start_thread(const std::string& name, std::function<void()> body) {
  return machine_->start_thread(name, std::move(body));
}

void cassette_recorder::attach(tape_links to) {
  tape_->links = std::move(to);
}

const std::string* cassette_recorder::variable(const std::string& name) {
  auto* value = tape_->links.env(name);
  if (value != nullptr)
    tape_->head.variables.try_emplace(name, wire::tape_variable{*value, {}});
  return value;
}

std::string cassette_recorder::source(const std::string& name, std::string real) {
  if (auto i = tape_->head.variables.find(name); i != tape_->head.variables.end())
    i->second.source = real;
  else if (auto* value = tape_->links.env(name))
    tape_->head.variables[name] = {*value, real};
  return real;
}

secrets cassette_recorder::known(secrets real) {
  tape_->head.known = real.values();
  return real;
}

std::string cassette_recorder::log_folder(std::string real) {
  return tape_->head.log_folder = std::move(real);
}

std::string cassette_recorder::build(std::string real) {
  return tape_->head.build = std::move(real);
}

std::string cassette_recorder::folder(std::string real) {
  return real; // the opening has it
}

void cassette_recorder::start() {
  auto& h = tape_->head;
  h.start_unix_ms = machine_->now_unix_ms();
  h.utc_offset_s = machine_->utc_offset_s(h.start_unix_ms);
  h.seed = std::uint64_t{machine_->seed("cassette")} << 32 | machine_->seed("cassette");
}

std::string cassette_recorder::begin(const std::string& task, const opening& o, const std::string& question) {
  if (std::exchange(used_, true))
    return "this engine records, and a cassette holds one task";
  auto& h = tape_->head;
  auto whole = o;
  for (auto& a : o.agents)
    each_backend(a, [this](const backend_config& b, const std::string&) {
      for (auto* names : {&tape_->hidden, &tape_->brief})
        names->add_config(b, variables_of(b, tape_->links));
    });
  for (auto& value : h.known)
    tape_->hidden.add_named("key", value);
  h.home = user_home();
  for (auto& a : whole.agents)
    each_backend(a, [this](backend_config& b, const std::string&) {
      each_secret(b, [this](const secret_text&, std::string& text) {
        tape_->hidden.put_in(text);
        tape_->brief.put_in(text);
      });
    });
  h.task = task;
  h.opening = to_json(whole);
  if (h.opening.size() > wire::max_cassette_line / 8 * 7)
    return "the run cannot be recorded: its files are longer than a line of a cassette may be ("
           + std::to_string(wire::max_cassette_line >> 20) + " MiB)";
  h.question = question;
  tape_->on = true;
  return {};
}

void cassette_recorder::cancel(const std::string& reason, const std::function<void()>& act) {
  tape_->came_in(note_of(tape_kind::cancel, 0, reason));
  act();
}

std::string cassette_recorder::finish(const std::vector<std::string>& log) {
  if (tape_->full)
    return not_recorded + ("there is more of it than the " + std::to_string(wire::max_cassette >> 20))
           + " MiB that a cassette may have";
  if (!tape_->on)
    return {};
  auto& h = tape_->head;
  auto places = tape_->told ? tape_->places(log) : std::string{};
  h.without_hashes = tape_->told;
  auto shown = log;
  for (auto& line : shown)
    tape_->hidden.put_in_stream({&line});
  tape_->came_in(note_of(tape_kind::end, 0, sha_of_log(shown, h.without_hashes)));
  tape_->on = false;
  if (h.without_hashes)
    for (auto& [i, sha] : tape_->by_text)
      tape_->entries[i].text = sha;
  auto in_parts = hide_inputs(*tape_) || tape_->in_parts;
  for (auto* text : {&h.opening, &h.question, &h.log_folder, &h.home})
    tape_->hidden.put_in(*text);
  for (auto& x : h.known)
    tape_->hidden.put_in(x);
  for (auto& [name, x] : h.variables) {
    tape_->brief.add_named(name, x.value);
    tape_->hidden.put_in(x.value);
    if (x.value.size() < stand_ins::usual)
      tape_->brief.put_in(x.value);
  }
  if (auto fault = write_file(); !fault.empty()) {
    remove_file(); // others may hold this for longer than the process lasts
    return not_recorded + fault;
  }
  if (!places.empty())
    return std::string{stands_in} + "stands where nothing hides it: " + places + "; " + path_
           + " has a stand-in there, and a replay other hashes of what it is in"
           + (tape_->in_names ? "; it may end early, as names of tools are put in order" : "")
           + ". Keep it out of there for a log with the same bytes";
  if (in_parts)
    return std::string{stands_in} + "came in parts that the run did not put together; " + path_
           + " has those of a stand-in, and a replay ends where a model was shown them";
  return {};
}

std::string cassette_recorder::write_file() {
  constexpr std::size_t at_once = std::size_t{1} << 20;
  auto partial = path_ + unfinished_end;
  wire::cassette_writer writer;
  std::string waiting;
  std::size_t bytes = 0;
  auto all = writer.add(tape_->head, waiting);
  tape_->entries.back().number = static_cast<std::int64_t>(tape_->entries.size() + 1);
  for (std::size_t i = 0; all && i < tape_->entries.size(); ++i) {
    if (waiting.size() > at_once) {
      bytes += waiting.size();
      if (!write_whole(fd_, waiting))
        return why(partial);
    }
    all = writer.add(tape_->entries[i], waiting);
  }
  tape_->entries = {};
  if (!all)
    return "a line of it has more than " + std::to_string(wire::max_cassette_line >> 20) + " MiB";
  if (bytes + waiting.size() > wire::max_cassette)
    return "it has more than " + std::to_string(wire::max_cassette >> 20) + " MiB";
  if (!write_whole(fd_, waiting) || ::fsync(fd_) != 0)
    return why(partial);
  if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) != 0
      && ((errno != EINVAL && errno != ENOSYS) || ::rename(partial.c_str(), path_.c_str()) != 0))
    return why(path_);
  partial_.reset();
  ::close(std::exchange(fd_, -1));
  return {};
}

} // namespace conclave
