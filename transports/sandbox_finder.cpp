// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/sandbox_finder.hpp"

#include "transports/sandbox_canary.hpp"

#include <memory>
#include <utility>

namespace conclave {

sandbox_choice sandbox_finder::find(sandbox_mode mode) {
  std::unique_lock lock{book_->mutex};
  auto [place, fresh] = book_->found.try_emplace(mode);
  if (fresh) {
    lock.unlock();
    auto folder = std::make_shared<canary>(folder_);
    choose_sandbox(world_, launcher_, mode, folder->path() + "/test", [folder, book = book_, mode](sandbox_choice c) {
      folder->remove();
      std::lock_guard guard{book->mutex};
      book->found[mode] = std::move(c);
      book->changed.notify_all();
    });
    lock.lock();
  }
  book_->changed.wait(lock, [&] { return book_->found[mode].has_value(); });
  return *book_->found[mode];
}

std::optional<sandbox_choice> sandbox_finder::known(sandbox_mode mode) const {
  std::lock_guard guard{book_->mutex};
  auto i = book_->found.find(mode);
  return i == book_->found.end() ? std::nullopt : i->second;
}

sandbox_mode sandbox_mode_of(const std::string& word) {
  return word == "off" ? sandbox_mode::off : word == "auto" ? sandbox_mode::automatic : sandbox_mode::required;
}

} // namespace conclave
