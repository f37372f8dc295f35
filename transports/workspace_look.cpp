// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/workspace_look.hpp"

#include "protocols/workspace_paths.hpp"
#include "transports/git_folders.hpp"
#include "transports/workspace_disk.hpp"

#include <cerrno>
#include <deque>
#include <dirent.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace conclave {

namespace fs = std::filesystem;
using namespace workspace_paths;
using workspace_look::look_through;

namespace {

constexpr std::size_t longest_path = 3000; ///< of a folder that is named in a profile
constexpr std::size_t most_unseen = 1'000;

fs::file_type type_of(int folder, const dirent& e) {
  switch (e.d_type) {
  case DT_REG:
    return fs::file_type::regular;
  case DT_DIR:
    return fs::file_type::directory;
  case DT_LNK:
    return fs::file_type::symlink;
  case DT_SOCK:
    return fs::file_type::socket;
  case DT_FIFO:
    return fs::file_type::fifo;
  case DT_UNKNOWN:
    break;
  default:
    return fs::file_type::unknown;
  }
  struct stat s {};
  if (::fstatat(folder, static_cast<const char*>(e.d_name), &s, AT_SYMLINK_NOFOLLOW) != 0)
    return fs::file_type::none;
  return S_ISREG(s.st_mode)    ? fs::file_type::regular
         : S_ISDIR(s.st_mode)  ? fs::file_type::directory
         : S_ISLNK(s.st_mode)  ? fs::file_type::symlink
         : S_ISSOCK(s.st_mode) ? fs::file_type::socket
         : S_ISFIFO(s.st_mode) ? fs::file_type::fifo
                               : fs::file_type::unknown;
}

bool may_enter(const std::string& folder) {
  return ::faccessat(AT_FDCWD, folder.c_str(), X_OK, AT_EACCESS) == 0;
}

} // namespace

bool workspace_look::can_be_reached_into(const std::string& folder) {
  struct stat s {};
  return ::lstat(folder.c_str(), &s) == 0 && (s.st_uid == ::geteuid() || may_enter(folder));
}

workspace_look::looked workspace_look::look_through(const std::string& folder,
                                                    const std::function<bool(const std::string&, fs::file_type)>& f,
                                                    std::size_t most) {
  looked out;
  auto give_up = [&](std::string path) {
    while (path.size() > std::max(longest_path, folder.size()))
      path.resize(path.rfind('/'));
    auto within = [&path](const std::string& known) { return path == known || path.starts_with(known + "/"); };
    if (std::none_of(out.unseen.begin(), out.unseen.end(), within))
      out.unseen.push_back(std::move(path));
  };
  std::deque<std::string> left{folder};
  std::size_t seen = 0;
  for (; !left.empty() && seen <= most; left.pop_front()) {
    const auto& at = left.front();
    auto fd = ::open(at.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | (at == folder ? 0 : O_NOFOLLOW));
    std::unique_ptr<DIR, int (*)(DIR*)> dir{fd < 0 ? nullptr : ::fdopendir(fd), &::closedir};
    // To list a folder and to go into it are two rights.
    if (dir ? !may_enter(at) : errno == EACCES) {
      out.shut.push_back(at);
      continue;
    }
    if (!dir) {
      if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        give_up(at);
      continue;
    }
    const dirent* e = nullptr;
    while (seen <= most && (errno = 0, e = ::readdir(dir.get())) != nullptr) {
      std::string_view name{static_cast<const char*>(e->d_name)};
      if (name == "." || name == ".." || ++seen > most)
        continue;
      auto path = at + "/" + std::string(name);
      if (auto type = type_of(fd, *e); f(path, type) && type == fs::file_type::directory)
        left.push_back(std::move(path));
    }
    if ((errno != 0 && errno != ENOENT) || seen > most)
      give_up(at);
    if (seen > most)
      break;
  }
  for (auto i = left.begin(); seen > most && i != left.end() && out.unseen.size() < most_unseen; ++i)
    give_up(*i);
  return out;
}

void workspace_look::sweep(const std::string& folder, snapshots::cancel_flag cancel) {
  std::vector<std::string> left;
  look_through(folder, [&](const std::string& path, fs::file_type) {
    auto name = path.substr(path.rfind('/') + 1);
    auto ours = name.starts_with(".conclave-") && name.ends_with(".tmp");
    if (ours)
      left.push_back(path);
    return !ours;
  });
  for (auto& path : left)
    snapshots::remove_tree(path, cancel);
}

namespace {

constexpr std::size_t max_protected = 1'000; ///< each is a mount of its own
constexpr std::size_t max_protected_letters = std::size_t{512} << 10;
constexpr std::size_t max_unseen = 200; ///< so is each folder that was not looked into

/// Programs bring certificates along, which they do not work without, in files named as keys are.
bool holds_a_key(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::string start(std::size_t{64} << 10, '\0');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(in.gcount()));
  return start.find("-----BEGIN CERTIFICATE") == std::string::npos || start.find("PRIVATE KEY") != std::string::npos;
}

/// What the system keeps from its users (passwords, keys of its services) is open to a command that has root's number.
bool is_private_setting(const std::string& path, fs::file_type type) {
  struct stat s {};
  return type == fs::file_type::regular && path.starts_with("/etc/") && ::lstat(path.c_str(), &s) == 0
         && (s.st_mode & S_IROTH) == 0;
}

} // namespace

namespace {

/// How much of what commands are not to see can be told to a launcher, name by name.
struct room {
  std::size_t names = 5'000, letters = std::size_t{1} << 20; ///< in all folders: they go in one line, beside other things
  std::size_t grants = 40'000; ///< at the tier `landlock`: what stands beside a hidden name is granted by itself
};

/// What is to be hidden below one folder.
class hidden_names {
public:
  hidden_names(std::string top, bool by_grants) : top_(std::move(top)), by_grants_(by_grants) {}

  void seen(const std::string& path) {
    if (by_grants_)
      ++entries_[above(path)];
  }
  void add(std::string path) { names_.push_back(std::move(path)); }

  /// Hides folders that hold most of it as wholes, until there is room for what is left. Returns false if that will not do.
  bool fit(room& left) {
    std::map<std::string, amount> held;
    auto all = amount{};
    for (auto& name : names_)
      for (auto* of : {&all, &held[above(name)]})
        of->add(name);
    auto weight = [&left](const amount& of) {
      return static_cast<double>(of.names) / static_cast<double>(left.names + 1)
             + static_cast<double>(of.letters) / static_cast<double>(left.letters + 1);
    };
    std::vector<std::pair<double, std::string>> most;
    most.reserve(held.size());
    for (auto& [folder, of] : held)
      most.emplace_back(weight(of), folder);
    std::sort(most.rbegin(), most.rend());
    for (auto at = most.begin(); all.names > left.names || all.letters > left.letters; ++at) {
      if (at == most.end() || !fold(at->second))
        return false;
      all = {};
      for (auto& name : names_)
        all.add(name);
    }
    if (by_grants_ && !fit_grants(left.grants))
      return false;
    left.names -= all.names; // of the grants' folding more than need be
    left.letters -= all.letters;
    return true;
  }

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<std::string>& folded() const { return folded_; }

private:
  struct amount {
    std::size_t names = 0, letters = 0;
    void add(const std::string& name) {
      ++names;
      letters += name.size() + 1;
    }
  };

  static std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }

  bool fold(const std::string& folder) {
    if (folder == top_ || folded_.size() == max_unseen)
      return false;
    auto within = [&folder](const std::string& path) { return path.starts_with(folder + "/"); };
    auto covered = std::any_of(folded_.begin(), folded_.end(), [&](auto& f) { return f == folder || folder.starts_with(f + "/"); });
    std::erase_if(names_, within);
    std::erase_if(folded_, within);
    if (!covered) {
      names_.push_back(folder);
      folded_.push_back(folder);
    }
    return true;
  }

  bool fit_grants(std::size_t& left) {
    for (;;) {
      std::map<std::string, std::size_t> around; // the folders that are granted entry by entry
      for (auto& name : names_)
        for (auto at = above(name); at.size() >= top_.size() && around.emplace(at, entries_[at]).second;)
          at = above(at);
      std::size_t all = 0;
      auto most = around.begin();
      for (auto i = around.begin(); i != around.end(); ++i) {
        all += i->second;
        most = i->second > most->second ? i : most;
      }
      if (all <= left) {
        left -= all;
        return true;
      }
      if (!fold(most->first))
        return false;
    }
  }

  std::string top_;
  bool by_grants_;
  std::vector<std::string> names_, folded_;
  std::map<std::string, std::size_t> entries_; ///< of each folder
};

} // namespace

void workspace_disk::find_secrets(std::vector<std::string>& hidden, std::vector<std::string>& closed, bool by_grants) {
  std::error_code e;
  room left;
  // A socket or a pipe leads to whoever listens there, and a folder that is only to be read does not keep from that.
  auto is_hidden = [&](const std::string& path, fs::file_type type, bool& secret) {
    secret = !f_.config.allow_secret_files
             && (path_policy::is_secret_name(path.substr(path.rfind('/') + 1)) || is_private_setting(path, type));
    return secret || type == fs::file_type::socket || type == fs::file_type::fifo;
  };
  auto tell = [&](const std::string& folder, bool none, const std::string& why, const std::vector<std::string>& not_seen) {
    notice("commands do not see " + std::string(none ? "" : "all of ") + path_policy::shown(folder) + ": " + why + "; "
           + (none ? ""
                   : "not " + path_policy::shown(not_seen.front())
                         + (not_seen.size() > 1 ? " and " + std::to_string(not_seen.size() - 1) + " more; " : "; "))
           + "name the folders in it that they need");
  };
  auto look = [&](const std::string& folder, bool readable) {
    hidden_names found{folder, by_grants};
    auto all = look_through(folder, [&](const std::string& path, fs::file_type type) {
      found.seen(path);
      auto secret = false;
      if (readable && type == fs::file_type::regular && path.ends_with(".pem") && !holds_a_key(path))
        return true;
      if (is_hidden(path, type, secret))
        found.add(path);
      return !secret;
    });
    std::erase_if(all.shut, [](auto& path) { return !workspace_look::can_be_reached_into(path); });
    auto is_in = [&folder](const std::vector<std::string>& list) {
      return std::find(list.begin(), list.end(), folder) != list.end();
    };
    auto none = all.unseen.size() + all.shut.size() > max_unseen || is_in(all.unseen) || is_in(all.shut);
    auto many = !all.unseen.empty();
    auto not_seen = std::move(all.unseen);
    not_seen.insert(not_seen.end(), all.shut.begin(), all.shut.end());
    if (!not_seen.empty())
      tell(folder, none,
           many ? "it holds too much to look for secrets in it (" + std::to_string(workspace_look::max_looked_at)
                      + " files and folders at most)"
                : "what you may not list cannot be looked through for secrets",
           not_seen);
    for (auto& path : not_seen)
      found.add(path);
    if (!none) {
      none = !found.fit(left);
      if (none || !found.folded().empty())
        tell(folder, none,
             "names of secrets and the like are too many in it, or too much stands beside them, to hide each by itself",
             found.folded());
    }
    if (none)
      closed.push_back(folder);
    else
      hidden.insert(hidden.end(), found.names().begin(), found.names().end());
  };
  for (auto& c : f_.config.context)
    if (fs::is_directory(c.path, e))
      look(c.path, false);
  for (auto& folder : f_.config.readable)
    if (fs::is_directory(folder, e))
      look(folder, true);
}

std::vector<std::string> workspace_disk::find_protected() const {
  using path_policy::access;
  std::vector<std::string> out;
  std::size_t letters = 0;
  auto all = rules();
  for (auto& r : all.roots) {
    // In a copy, names that are never written are left out when it is applied.
    auto one = r.kind == path_policy::root_kind::context_file;
    auto in_place = one || r.kind == path_policy::root_kind::context;
    if (!r.writable || (r.protected_paths.empty() && !in_place))
      continue;
    auto is_protected = [&](const std::string& path) {
      auto code = path_policy::judge(all, path, access::modify).code;
      return code == path_policy::denial::protected_path || (in_place && code == path_policy::denial::excluded);
    };
    std::vector<std::string> here;
    auto note = [&](const std::string& path, fs::file_type type) {
      auto found = here.size() <= max_protected
                   && (is_protected(path) || (in_place && type == fs::file_type::directory && git::is_repository(path)));
      if (found)
        here.push_back(path);
      return !found;
    };
    auto whole = !is_protected(r.path) && !(in_place && git::repository_folders::lies_in_repository(r.path));
    if (whole && !one) {
      auto seen = look_through(r.path, note);
      whole = seen.unseen.empty();
      here.insert(here.end(), seen.shut.begin(), seen.shut.end()); // whose is whatever is in there: who renames it moves that
    }
    for (auto& path : here)
      letters += path.size() + 1;
    if (!whole || here.size() > max_protected || letters > max_protected_letters)
      here = {r.path};
    out.insert(out.end(), here.begin(), here.end());
  }
  return out;
}

std::vector<workspace_disk::made> workspace_disk::made_since(std::int64_t unix_ns) const {
  std::vector<made> out;
  for (auto& r : rules().roots)
    if (r.writable && !r.path.starts_with(work(f_.place) + "/")) // what lies in the workspace is looked through with it
      look_through(r.path, [&](const std::string& path, fs::file_type type) {
        struct statx s {};
        if (type == fs::file_type::directory
            || ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s) != 0
            || !S_ISREG(s.stx_mode) || (s.stx_mask & STATX_BTIME) == 0)
          return true;
        auto ns = [](const statx_timestamp& t) { return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec; };
        if (ns(s.stx_btime) >= unix_ns)
          out.push_back({path, {s.stx_size, ns(s.stx_ctime)}});
        return true;
      });
  return out;
}

snapshots::amount workspace_disk::measure(snapshots::cancel_flag cancel) const {
  std::vector<std::string> folders{work(f_.place), workspace_paths::home(f_.place), workspace_paths::servers(f_.place)};
  for (std::size_t i = 0; i < bases_.size(); ++i)
    if (!bases_[i].snapshot.empty())
      folders.push_back(target(f_.place, i));
  auto all = snapshots::measure(folders, f_.limits, cancel);
  measure_in_place(all);
  return all;
}

} // namespace conclave
