// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox.hpp"

#include "protocols/text.hpp"
#include "transports/sandbox_filter.hpp"
#include "transports/sandbox_lines.hpp"

#include <deque>
#include <mutex>

namespace conclave {

namespace {

constexpr std::size_t max_line = 32u << 20; ///< two streams of a megabyte each, every byte of them escaped, fit

/// Appends what is UTF-8, and in place of what is none its sign.
void append_utf8(std::string& out, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    std::uint32_t c = 0;
    auto n = static_cast<unsigned char>(bytes[i]) < 0x80 ? 1 : decode_utf8(bytes, i, c);
    if (n > 0)
      out.append(bytes.substr(i, n));
    else
      out += "\xEF\xBF\xBD";
    i += n > 0 ? n : 1;
  }
}

std::string as_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  append_utf8(out, bytes);
  return out;
}

/// Without the character that the end of the text cuts in two.
std::string_view without_half(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    auto c = static_cast<unsigned char>(text[text.size() - back]);
    if (c < 0x80)
      break;
    if (c >= 0xC0) // it begins here
      return back < (c >= 0xF0 ? 4U : c >= 0xE0 ? 3U : 2U) ? text.substr(0, text.size() - back) : text;
  }
  return text;
}

stream_text read_stream(sandbox_line& line, const std::string& name) {
  stream_text s;
  const auto bytes = line.take(name); // there may be megabytes of it
  s.left_out = line.number(name + "_cut");
  auto at = line.number(name + "_at");
  if (s.left_out <= 0 || at < 0 || static_cast<std::size_t>(at) > bytes.size()) {
    s.text = as_utf8(bytes);
    return s;
  }
  std::string_view all = bytes;
  auto head = all.substr(0, static_cast<std::size_t>(at)), tail = all.substr(static_cast<std::size_t>(at));
  head = without_half(head); // not half a character before the gap, nor behind it
  auto begin = std::min<std::size_t>(tail.size(), 3);
  for (std::size_t i = 0; i < begin; ++i)
    if (!continues_character(tail[i]))
      begin = i;
  tail.remove_prefix(begin);
  s.text.reserve(bytes.size() + 64);
  append_utf8(s.text, head);
  s.text += "\n[... " + std::to_string(s.left_out) + " bytes left out ...]\n";
  append_utf8(s.text, tail);
  return s;
}

command_end read_end(sandbox_line& line) {
  using reason = command_end::reason;
  static const std::map<std::string, reason> reasons{{"exit", reason::exited},
                                                     {"timeout", reason::timed_out},
                                                     {"killed", reason::killed},
                                                     {"memory", reason::out_of_memory},
                                                     {"processes", reason::too_many_processes},
                                                     {"disk", reason::too_much_disk}};
  command_end e;
  auto r = reasons.find(line.get("reason"));
  e.why = r == reasons.end() ? reason::failed : r->second;
  e.status = static_cast<int>(line.number("status", -1));
  e.ms = line.number("ms");
  e.out = read_stream(line, "out");
  e.err = read_stream(line, "err");
  if (e.why == reason::failed)
    e.error = as_utf8(line.get("why"));
  return e;
}

command_end failure(std::string why) {
  command_end e;
  e.error = std::move(why);
  return e;
}

/// Shared by the handle and the callbacks of the launcher. A callback that comes while start_child() has not returned yet finds the
/// lock taken by its own thread, hence the kind of mutex.
class engine_side : public std::enable_shared_from_this<engine_side> {
public:
  using ended_callback = std::function<void(command_end)>;
  using news_callback = std::function<void(command_news)>;

  engine_side(std::shared_ptr<outside> world, sandbox_profile p, std::string launcher)
      : world_(std::move(world)), profile_(std::move(p)), launcher_(std::move(launcher)) {}

  std::uint64_t run(const sandbox_command& c, ended_callback ended) {
    std::unique_lock lock{mutex_};
    auto id = ++last_id_;
    auto why = closed_ ? std::string("the sandbox is closed") : start();
    sandbox_line line("run");
    line.add("id", static_cast<std::int64_t>(id)).add("cwd", c.work_dir).add("command", c.command);
    line.add("timeout_ms", c.timeout_ms).add("background", std::int64_t{c.background});
    for (const auto& [name, value] : c.env)
      line.add("env", name + "=" + value);
    if (why.empty()) {
      ends_[id] = std::move(ended);
      if (child_->write(line.text()))
        return id;
      auto last = std::move(ends_[id]);
      ends_.erase(id);
      lock.unlock();
      last(failure("the launcher of the sandbox does not listen"));
      return id;
    }
    lock.unlock();
    ended(failure(std::move(why)));
    return id;
  }

  void kill(std::uint64_t id) {
    std::lock_guard lock{mutex_};
    if (child_ && ends_.contains(id))
      child_->write(sandbox_line("kill").add("id", static_cast<std::int64_t>(id)).text());
  }

  void read_output(std::uint64_t id, news_callback news) {
    {
      std::lock_guard lock{mutex_};
      if (child_ && ends_.contains(id) && child_->write(sandbox_line("read").add("id", static_cast<std::int64_t>(id)).text())) {
        news_[id].push_back(std::move(news));
        return;
      }
    }
    news({});
  }

  void close() {
    std::shared_ptr<child_process> child;
    {
      std::lock_guard lock{mutex_};
      closed_ = true;
      child = child_;
    }
    if (child)
      child->close(); // the end of its input: it ends what runs, tells, and ends; on_exit comes
  }

  sandbox_traits traits() const {
    std::lock_guard lock{mutex_};
    return traits_;
  }

private:
  std::string start() {
    if (child_)
      return {};
    if (launcher_.empty())
      return no_sandbox_launcher();
    std::string error;
    auto profile = sandbox_profile_line(profile_, {}, {}, error);
    if (profile.empty())
      return error;
    child_options o;
    o.argv = {launcher_, "serve"};
    o.cwd = "/";
    o.fork_server = "forks";
    o.max_line = max_line;
    auto number = ++starts_;
    fault_.clear();
    auto self = weak_from_this();
    auto child =
        world_->start_child(std::move(o), {[self, number](std::vector<std::string> lines) {
                                             if (auto s = self.lock())
                                               for (auto& l : lines)
                                                 s->on_line(number, std::move(l));
                                           },
                                           [self = shared_from_this(), number](child_exit e) { self->on_exit(number, e); }});
    if (!child || number != starts_)
      return fault_.empty() ? "the launcher of the sandbox cannot be started" : fault_;
    child_ = std::move(child);
    child_->write(profile);
    return {};
  }

  void on_line(std::uint64_t number, std::string text) {
    sandbox_line line;
    if (!sandbox_line::read(text, line))
      return;
    std::string().swap(text); // its memory is needed no more
    std::unique_lock lock{mutex_};
    if (number != starts_)
      return;
    auto id = static_cast<std::uint64_t>(line.number("id"));
    if (line.word == "ready") {
      traits_.clear();
      for (const auto& [name, value] : line.fields)
        traits_[name] = value;
    } else if (line.word == "failed") {
      fault_ = as_utf8(line.get("why"));
    } else if (line.word == "ended") {
      auto at = ends_.find(id);
      if (at == ends_.end())
        return;
      auto ended = std::move(at->second);
      auto waiting = std::move(news_[id]);
      ends_.erase(at);
      news_.erase(id);
      lock.unlock();
      ended(read_end(line)); // first, so that who asks for its output knows why there is no more
      for (auto& news : waiting)
        news({});
    } else if (line.word == "output") {
      auto at = news_.find(id);
      if (at == news_.end() || at->second.empty())
        return;
      auto news = std::move(at->second.front());
      at->second.pop_front();
      lock.unlock();
      news({line.get("running") == "1", read_stream(line, "out"), read_stream(line, "err")});
    }
  }

  void on_exit(std::uint64_t number, const child_exit& e) {
    std::unique_lock lock{mutex_};
    if (number != starts_)
      return;
    ++starts_; // lines of this one count no more
    if (fault_.empty())
      fault_ = "the launcher of the sandbox ended" + (e.error.empty() ? "" : ": " + e.error);
    auto why = fault_;
    auto ends = std::move(ends_);
    auto news = std::move(news_);
    ends_.clear();
    news_.clear();
    auto last = std::move(child_); // released without the lock
    lock.unlock();
    for (auto& [id, ended] : ends)
      ended(failure(why));
    for (auto& [id, waiting] : news)
      for (auto& n : waiting)
        n({});
  }

  std::shared_ptr<outside> world_;
  const sandbox_profile profile_;
  const std::string launcher_;
  mutable std::recursive_mutex mutex_;
  std::shared_ptr<child_process> child_; ///< null = to be started by the next command
  std::uint64_t last_id_ = 0, starts_ = 0;
  std::map<std::uint64_t, ended_callback> ends_;
  std::map<std::uint64_t, std::deque<news_callback>> news_;
  sandbox_traits traits_;
  std::string fault_; ///< why the launcher that runs, or ran last, cannot go on
  bool closed_ = false;
};

class handle final : public sandbox {
public:
  explicit handle(std::shared_ptr<engine_side> side) : side_(std::move(side)) {}
  ~handle() override { side_->close(); }
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;

  std::uint64_t run(sandbox_command command, std::function<void(command_end)> ended) override {
    return side_->run(command, std::move(ended));
  }
  void kill(std::uint64_t id) override { side_->kill(id); }
  void read_output(std::uint64_t id, std::function<void(command_news)> news) override { side_->read_output(id, std::move(news)); }
  void close() override { side_->close(); }
  sandbox_traits traits() const override { return side_->traits(); }

private:
  std::shared_ptr<engine_side> side_;
};

} // namespace

std::string to_string(sandbox_tier t) {
  return t == sandbox_tier::namespaces ? "namespaces" : t == sandbox_tier::landlock ? "landlock" : "off";
}

std::string sandbox_profile_line(const sandbox_profile& p, const std::string& cwd, const std::string& command, std::string& error) {
  sandbox_line line("profile");
  auto network = p.network && (p.tier != sandbox_tier::landlock || p.server);
  line.add("tier", static_cast<std::int64_t>(p.tier)).add("network", network ? "full" : "none");
  line.add("home", p.home).add("tmp", p.tmp).add("cwd", cwd).add("command", command);
  for (const auto& [name, paths] : {std::pair{"readable", &p.readable},
                                    {"writable", &p.writable},
                                    {"shared", &p.shared},
                                    {"protected", &p.protected_paths},
                                    {"hidden", &p.hidden}})
    for (const auto& path : *paths)
      line.add(name, path);
  for (const auto& [name, value] : p.env)
    line.add("env", name + "=" + value);
  // There is an /etc at tier 1, of which most is refused: that is fatal to git.
  if (p.tier == sandbox_tier::landlock && !p.env.contains("GIT_CONFIG_NOSYSTEM"))
    line.add("env", "GIT_CONFIG_NOSYSTEM=1");
  line.add("processes", p.limits.processes).add("memory", p.limits.memory).add("file_size", p.limits.file_size);
  line.add("open_files", p.limits.open_files).add("output", p.limits.output);
  if (p.tier != sandbox_tier::off) {
    auto filter = sandbox_filter{p.tier == sandbox_tier::namespaces, landlock_version(), network}.compile(error);
    if (filter.empty())
      return {};
    line.add("filter", std::move(filter));
  }
  return line.text();
}

std::shared_ptr<sandbox> sandbox::open(std::shared_ptr<outside> world, sandbox_profile profile, std::string launcher) {
  return std::make_shared<handle>(std::make_shared<engine_side>(std::move(world), std::move(profile), std::move(launcher)));
}

} // namespace conclave
