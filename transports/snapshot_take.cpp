// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "transports/snapshot_objects.hpp"
#include "transports/snapshot_scan.hpp"
#include "transports/snapshot_store.hpp"
#include "transports/snapshot_tally.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>

namespace conclave::snapshots {

namespace {

constexpr std::size_t block = std::size_t{1} << 20;
constexpr std::size_t most_listed = 1000;
constexpr int tries = 4;
// How often what is free is asked for.
constexpr std::uint64_t between_looks = std::uint64_t{64} << 20;

failure unsettled(const std::string& path, std::uint64_t size) {
  return {fault::unsettled,
          path_policy::shown(path) + " changes while it is read; end what writes it, then try again",
          {{path, size, 1}}};
}

/// One scan of one folder.
class taker {
public:
  taker(const objects& kept, arrival& box, const take_options& options, taken& out)
      : kept_(kept), box_(box), options_(options), out_(out), tally_(options.limits), buffer_(std::make_unique<char[]>(block)) {}

  /// Looks whether it is within the limits, and no more.
  std::optional<failure> count(int folder, const found& root, const std::string& shown) {
    root_ = shown;
    device_ = root.device;
    counts_only_ = true;
    std::string path;
    wire::digest ignored{};
    if (!scan_folder(folder, path, 0, ignored))
      return std::move(bad_);
    if (tally_.over())
      return tally_.too_much(root_, out_.bytes);
    return {};
  }

  std::optional<failure> run(int folder, const found& root, const std::string& shown, wire::digest& hash) {
    root_ = shown;
    device_ = root.device;
    last_scan.open(options_.scan_cache, root, box_.begun(),
                   [&](const std::string& id) { return kept_.held(options_.holder, id).has_value(); });
    std::string path;
    if (!scan_folder(folder, path, 0, hash))
      return std::move(bad_);
    if (tally_.over())
      return tally_.too_much(root_, out_.bytes);
    return {};
  }

  scan last_scan;

private:
  bool fail(failure f) {
    bad_ = std::move(f);
    return false;
  }
  bool fail(const std::string& doing, const std::string& path, int error) {
    return fail(failed(doing, error == ENOSPC || error == EDQUOT ? kept_.home() : root_ + "/" + path, error));
  }
  /// Leaves a path out. `e` gets what the base has there, if that has something.
  bool skip(const std::string& path, std::string why, tree_entry& e) {
    if (out_.skipped.size() < most_listed)
      out_.skipped.push_back({path, std::move(why)});
    else
      ++out_.skipped_more;
    return as_in_base(path, e);
  }
  bool as_in_base(const std::string& path, tree_entry& e);

  bool room_for(std::uint64_t size) {
    if (size < room_) {
      room_ -= size;
      return true;
    }
    if (!has_room(box_.folder(), size, options_.limits.keep_free))
      return fail({fault::disk_full,
                   "less than " + std::to_string(options_.limits.keep_free >> 20) + " MiB would be free on the disk of "
                       + kept_.home() + "; free some room (conclave prune), then try again",
                   {}});
    room_ = between_looks;
    return true;
  }

  /// Nothing is read or kept: it is too much already, or is only counted.
  bool only_counts() const { return tally_.over() || counts_only_; }
  bool scan_folder(int folder, std::string& path, unsigned depth, wire::digest& hash);
  bool scan_name(int folder, std::string& path, const std::string& name, unsigned depth, tree_entry& e);
  bool sub_folder(int folder, std::string& path, const std::string& name, const found& what, unsigned depth, tree_entry& e);
  bool link(int folder, const std::string& path, const std::string& name, unsigned depth, tree_entry& e);
  bool file(int folder, const std::string& path, const std::string& name, found what, tree_entry& e);
  bool read_file(int fd, const std::string& path, const found& what, wire::digest& hash, bool& steady);
  bool read_large(int fd, const std::string& path, std::uint64_t size, wire::digest& hash, bool& steady);

  const objects& kept_;
  arrival& box_;
  const take_options& options_;
  taken& out_;
  tally tally_;
  std::unique_ptr<char[]> buffer_;
  wire::sha256_stream stream_;
  std::string root_;
  std::optional<std::string> base_folder_; ///< whose entries are in `base_`
  std::string base_text_;
  std::unordered_map<std::string_view, tree_entry> base_;
  std::uint64_t device_ = 0, room_ = 0;
  bool clones_ = true, counts_only_ = false;
  std::optional<failure> bad_;
};

bool taker::as_in_base(const std::string& path, tree_entry& e) {
  auto base = std::find_if(options_.bases.begin(), options_.bases.end(), [&](auto& b) { return path.starts_with(b.at); });
  if (base == options_.bases.end())
    return true;
  auto name = path.rfind('/') + 1; // 0 if there is none
  auto above = path.substr(0, name);
  if (base_folder_ != above) { // what is skipped in one folder comes one after the other
    base_folder_ = above;
    base_.clear();
    auto got = store{kept_.home()}.find(base->on, above.substr(base->at.size()));
    auto* bad = std::get_if<failure>(&got);
    if (bad != nullptr && bad->kind != fault::missing)
      return fail(std::move(*bad));
    wire::digest hash{};
    if (auto* was = std::get_if<entry>(&got);
        was != nullptr && was->kind == entry_kind::folder && wire::from_hex(was->sha256, hash)) {
      if (auto unread = kept_.read_tree(hash, base_text_))
        return fail(std::move(*unread));
      tree_entry one;
      for (tree_reader in{base_text_}; in.next(one);)
        base_.emplace(one.name, one);
    }
  }
  auto was = base_.find(std::string_view{path}.substr(name));
  if (was == base_.end())
    return true;
  e = was->second;
  if (e.kind == entry_kind::folder) {
    ++out_.dirs;
  } else {
    ++out_.files;
    out_.bytes += e.kind == entry_kind::link ? 0 : e.size;
  }
  return true;
}

bool taker::scan_folder(int folder, std::string& path, unsigned depth, wire::digest& hash) {
  std::vector<std::string> names;
  if (auto error = names_in(folder, names); error != 0)
    return fail("list", path, error);
  std::string tree{tree_head()};
  for (auto& name : names) {
    if (is_set(options_.cancel))
      return fail(failed("", "", ECANCELED));
    if (tally_.enough())
      break;
    auto length = path.size();
    if (length > 0)
      path += '/';
    path += name;
    auto files = out_.files, bytes = out_.bytes;
    tree_entry e;
    if (!scan_name(folder, path, name, depth, e))
      return false;
    if (depth == 0)
      tally_.remember_part({path + (e.kind == entry_kind::folder ? "/" : ""), out_.bytes - bytes, out_.files - files});
    if (e.kind != entry_kind::none && !only_counts()) {
      e.name = name;
      add_entry(tree, e);
    }
    path.resize(length);
  }
  if (only_counts())
    return true;
  hash = wire::sha256_digest(tree);
  if (!kept_.has('t', hash)) {
    if (!room_for(tree.size()))
      return false;
    if (auto error = box_.put('t', hash, tree, out_.new_bytes); error != 0)
      return fail("keep", path, error);
  }
  return true;
}

bool taker::scan_name(int folder, std::string& path, const std::string& name, unsigned depth, tree_entry& e) {
  found what;
  if (auto error = look(folder, name.c_str(), what); error != 0)
    return error == ENOENT || fail("look at", path, error); // gone meanwhile: as if it had never been there
  if (options_.leave_out)
    if (auto why = options_.leave_out(path, what.is_folder()); !why.empty())
      return skip(path, std::move(why), e);
  if (what.mount_point || what.device != device_)
    return skip(path, "a mount point", e);
  if (what.kind() == entry_kind::none)
    return skip(path, S_ISFIFO(what.mode) ? "a FIFO" : S_ISSOCK(what.mode) ? "a socket" : "a device", e);
  if (!options_.ours && !what.is_link() && !may_read(folder, name.c_str(), what.is_folder()))
    return skip(path, std::string{not_readable}, e); // before it is counted: what is not copied is not too much
  tally_.another();
  if (what.is_folder())
    return sub_folder(folder, path, name, what, depth, e);
  ++out_.files;
  return what.is_link() ? link(folder, path, name, depth, e) : file(folder, path, name, what, e);
}

bool taker::sub_folder(int folder, std::string& path, const std::string& name, const found& what, unsigned depth, tree_entry& e) {
  if (depth >= options_.limits.depth) {
    tally_.too_deep(path);
    return true;
  }
  if (options_.ours && (what.mode & S_IRWXU) != S_IRWXU)
    make_readable(folder, name.c_str()); // where it cannot be, opening or listing it says so
  auto inside = open_folder(folder, name.c_str(), what.device);
  if (!inside) {
    auto error = errno;
    if (error == ENOENT)
      return true;
    if (error == ELOOP || error == ENOTDIR)
      return fail(unsettled(path, 0)); // it became something else meanwhile
    if (error != EXDEV && (error != EACCES || options_.ours))
      return fail("open", path, error);
    return skip(path, error == EXDEV ? "a mount point" : std::string{not_readable}, e);
  }
  ++out_.dirs;
  e.kind = entry_kind::folder;
  return scan_folder(inside.get(), path, depth + 1, e.hash);
}

bool taker::link(int folder, const std::string& path, const std::string& name, unsigned depth, tree_entry& e) {
  std::string target;
  if (auto error = read_link(folder, name.c_str(), target); error != 0)
    return error == ENOENT || error == EINVAL || fail("read", path, error);
  if (auto why = leads_out(target, depth); !why.empty()) {
    --out_.files;
    return skip(path, std::move(why), e);
  }
  e.kind = entry_kind::link;
  e.size = target.size();
  e.hash = wire::sha256_digest(target);
  if (only_counts() || kept_.has('f', e.hash))
    return true;
  if (!room_for(target.size()))
    return false;
  auto error = box_.put('f', e.hash, target, out_.new_bytes);
  return error == 0 || fail("keep", path, error);
}

bool taker::file(int folder, const std::string& path, const std::string& name, found what, tree_entry& e) {
  auto size = what.size;
  out_.bytes += size;
  tally_.holds(out_.bytes);
  tally_.remember_file({path, size, 1});
  if (only_counts())
    return true;
  if (auto* known = last_scan.unchanged(path, what)) {
    e = {what.kind(), what.size, *known, {}};
    last_scan.note(path, what, *known);
    return true;
  }
  if (options_.ours && (what.mode & S_IRUSR) == 0)
    make_readable(folder, name.c_str());
  for (int i = 0; i < tries; ++i) {
    auto fd = open_file(folder, name.c_str());
    auto error = fd ? look(fd.get(), "", what) : errno;
    if (error == 0 && (!what.is_file() || what.device != device_ || what.mount_point))
      continue; // swapped meanwhile
    if (error == ELOOP || error == ENXIO)
      continue;
    auto refused = !options_.ours && (error == EACCES || error == EPERM);
    if (error == ENOENT || refused) {
      out_.bytes -= size;
      --out_.files;
      return !refused || skip(path, std::string{not_readable}, e);
    }
    if (error != 0)
      return fail("open", path, error);
    out_.bytes = out_.bytes - size + what.size;
    size = what.size;
    tally_.holds(out_.bytes);
    if (tally_.over())
      return true;
    bool steady = true;
    if (!read_file(fd.get(), path, what, e.hash, steady))
      return false;
    found after;
    if (steady && look(fd.get(), "", after) == 0 && after.same_state(what)) {
      ++out_.read_files;
      e.kind = what.kind();
      e.size = what.size;
      last_scan.note(path, what, e.hash);
      return true;
    }
  }
  return fail(unsettled(path, size));
}

bool taker::read_file(int fd, const std::string& path, const found& what, wire::digest& hash, bool& steady) {
  if (what.size > block)
    return read_large(fd, path, what.size, hash, steady);
  auto n = read_at(fd, buffer_.get(), static_cast<std::size_t>(what.size), 0);
  if (n < 0)
    return fail("read", path, errno);
  steady = static_cast<std::uint64_t>(n) == what.size;
  std::string_view bytes{buffer_.get(), static_cast<std::size_t>(n)};
  hash = wire::sha256_digest(bytes);
  if (!steady || kept_.has('f', hash))
    return true;
  if (!room_for(bytes.size()))
    return false;
  auto error = box_.put('f', hash, bytes, out_.new_bytes);
  return error == 0 || fail("keep", path, error);
}

bool taker::read_large(int fd, const std::string& path, std::uint64_t size, wire::digest& hash, bool& steady) {
  if (!room_for(size))
    return false;
  int error = 0;
  auto to = box_.begin(error);
  if (error != 0)
    return fail("keep", path, error);
  // What shares the extents stands still while it is hashed.
  auto cloned = clones_ && ::ioctl(to.get(), FICLONE, fd) == 0;
  clones_ = cloned;
  for (std::uint64_t at = 0; at < size && steady;) {
    if (is_set(options_.cancel))
      return fail(failed("", "", ECANCELED));
    auto want = static_cast<std::size_t>(std::min<std::uint64_t>(block, size - at));
    auto n = read_at(cloned ? to.get() : fd, buffer_.get(), want, at);
    if (n < 0)
      return fail("read", path, errno);
    steady = static_cast<std::size_t>(n) == want;
    stream_.add({buffer_.get(), static_cast<std::size_t>(n)});
    if (!cloned)
      error = write_all(to.get(), buffer_.get(), static_cast<std::size_t>(n));
    if (error != 0)
      return fail("keep", path, error);
    at += want;
  }
  hash = stream_.end();
  if (!steady)
    return true;
  if (cloned) {
    found copy;
    steady = look(to.get(), "", copy) == 0 && copy.size == size;
  }
  error = steady ? box_.adopt(hash, size, out_.new_bytes) : 0;
  return error == 0 || fail("keep", path, error);
}

} // namespace

result<taken> store::take(const std::string& folder, const take_options& options) const {
  if (!is_holder(options.holder))
    return failure{fault::denied, "'" + shown_text(options.holder) + "' is no name of a holder of snapshots", {}};
  objects kept;
  if (auto error = kept.open(home_, true); error != 0)
    return failed("open the snapshot store", home_, error);
  auto lock = kept.lock(false, true, options.cancel);
  if (!lock)
    return failed("lock the snapshot store", home_, errno);
  if (options.ours)
    make_readable(AT_FDCWD, folder.c_str());
  descriptor root{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  found what;
  if (auto error = root ? look(root.get(), "", what) : errno; error != 0)
    return failed("open", folder, error);
  arrival box;
  if (auto error = box.open(kept); error != 0)
    return failed("write in", home_, error);
  taken out;
  taker scanned{kept, box, options, out};
  wire::digest hash{};
  if (auto bad = scanned.run(root.get(), what, folder, hash))
    return std::move(*bad);
  out.id = wire::to_hex(hash);
  if (!kept.held(options.holder, out.id))
    if (auto error = box.publish(options.holder, out.id, {out.files, out.dirs, out.bytes}); error != 0)
      return failed("keep a snapshot in", home_, error);
  scanned.last_scan.keep(out.id);
  return out;
}

std::optional<failure> over_limits(const std::string& folder, const take_options& options) {
  descriptor root{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  found what;
  if (auto error = root ? look(root.get(), "", what) : errno; error != 0)
    return failed("open", folder, error);
  objects none;
  arrival nothing;
  taken out;
  return taker{none, nothing, options, out}.count(root.get(), what, folder);
}

} // namespace conclave::snapshots
