// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// A snapshot store, a folder to take snapshots of, and trees by chance.

#include "caf/test/unit_test.hpp"
#include "support/read_whole.hpp"
#include "support/scratch_folder.hpp"
#include "transports/snapshot_store.hpp"

#include <algorithm>
#include <fcntl.h>
#include <map>
#include <random>
#include <set>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

namespace conclave::test {

struct snapshot_fixture {
  scratch_folder scratch;
  std::string work = place("work"), home = place("snapshots");
  snapshots::store kept{home};
  snapshots::take_options options{.holder = "task"};

  snapshot_fixture() {
    std::filesystem::create_directory(work);
    options.limits.keep_free = 0;
  }

  std::string place(const std::string& name) const { return scratch.path + "/" + name; }

  template <class T>
  T good(snapshots::result<T> r) {
    if (auto* bad = std::get_if<snapshots::failure>(&r))
      CAF_FAIL(bad->text);
    return std::move(std::get<T>(r));
  }

  snapshots::taken take() { return good(kept.take(work, options)); }
  snapshots::taken take(const std::string& folder) {
    auto o = options;
    o.scan_cache.clear();
    return good(kept.take(folder, o));
  }

  std::string empty_id() {
    auto folder = place("empty");
    std::filesystem::create_directory(folder);
    return take(folder).id;
  }

  void write(const std::string& path, const std::string& bytes) const {
    auto full = std::filesystem::path{work} / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream{full, std::ios::binary} << bytes;
  }

  static std::string contents(const std::string& path) { return read_whole(path); }

  void set_times(const std::string& path, long seconds) const {
    timeval t[2] = {{seconds, 0}, {seconds, 0}};
    ::utimes((work + "/" + path).c_str(), t);
  }

  /// Where the store keeps the bytes of a file of a snapshot.
  std::string object_of(const std::string& id, const std::string& path) {
    auto hash = good(kept.find(id, path)).sha256;
    return home + "/files/" + hash.substr(0, 2) + "/" + hash;
  }
  /// Writes over what the store keeps, which is read-only, or behind it.
  static void alter(const std::string& object, const std::string& bytes, std::ios::openmode how = std::ios::trunc) {
    CAF_REQUIRE_EQUAL(::chmod(object.c_str(), 0600), 0);
    std::ofstream{object, std::ios::binary | how} << bytes;
  }

  /// Takes again and again until nothing is too young to be trusted.
  void make_scan_older() {
    for (int i = 0; i < 400 && take().read_files > 0; ++i)
      ::usleep(20'000);
  }

  static std::string files_with(const std::string& folder, const std::string& text) {
    std::string out;
    for (auto& f : std::filesystem::recursive_directory_iterator(folder))
      if (f.is_regular_file() && contents(f.path().string()).find(text) != std::string::npos)
        out += f.path().string() + " ";
    return out;
  }

  /// Every path of a tree with what it is.
  static std::map<std::string, std::string> names(const std::string& folder) {
    std::map<std::string, std::string> out;
    for (auto& f : std::filesystem::recursive_directory_iterator(folder)) {
      auto path = f.path().lexically_relative(folder).string();
      struct stat st {};
      ::lstat(f.path().c_str(), &st);
      out[path] = S_ISLNK(st.st_mode)   ? "link " + std::filesystem::read_symlink(f.path()).string()
                  : S_ISDIR(st.st_mode) ? std::string{"folder"}
                                        : ((st.st_mode & 0100) != 0 ? "executable " : "file ") + contents(f.path().string());
    }
    return out;
  }

  /// Makes a tree of files, executables, links and folders, empty ones too.
  void random_tree(std::mt19937& chance, int things = 40) const {
    auto draw = [&](int n) { return static_cast<int>(chance() % static_cast<unsigned>(n)); };
    std::vector<std::string> folders{""};
    for (int i = 0; i < things; ++i) {
      auto in = folders[static_cast<std::size_t>(draw(static_cast<int>(folders.size())))];
      auto path = in + "n" + std::to_string(draw(1000)) + std::string(static_cast<std::size_t>(draw(3)), '.');
      if (std::filesystem::exists(std::filesystem::symlink_status(work + "/" + path)))
        continue;
      switch (draw(6)) {
      case 0:
        std::filesystem::create_directory(work + "/" + path);
        folders.push_back(path + "/");
        break;
      case 1:
        std::filesystem::create_symlink("n" + std::to_string(draw(1000)), work + "/" + path);
        break;
      default:
        write(path,
              std::string(static_cast<std::size_t>(draw(8) == 0 ? draw(3 << 20) : draw(50)), static_cast<char>('a' + draw(3))));
        if (draw(3) == 0)
          ::chmod((work + "/" + path).c_str(), 0755);
      }
    }
  }

  /// Changes, adds and removes some of it; files become folders and the reverse.
  void change_something(std::mt19937& chance, int times = 6) const {
    auto draw = [&](std::size_t n) { return static_cast<std::size_t>(chance()) % n; };
    for (int i = 0; i < times; ++i) {
      auto all = names(work);
      if (all.empty())
        break;
      auto it = all.begin();
      std::advance(it, static_cast<long>(draw(all.size())));
      auto full = work + "/" + it->first;
      auto folder = it->second == "folder";
      switch (draw(5)) {
      case 0:
        std::filesystem::remove_all(full);
        break;
      case 1:
        if (!folder && !it->second.starts_with("link"))
          std::ofstream{full, std::ios::app} << "more";
        break;
      case 2:
        std::filesystem::remove_all(full);
        if (folder)
          write(it->first, "was a folder");
        else
          write(it->first + "/within", "was no folder");
        break;
      case 3:
        if (!it->second.starts_with("link"))
          ::chmod(full.c_str(), it->second.starts_with("file") ? 0755 : folder ? 0755 : 0644);
        break;
      default:
        write("new" + std::to_string(draw(100)) + "/x", "new");
      }
    }
  }
};

} // namespace conclave::test
