// Text and lists of a fixed capacity, so that messages are decoded, kept and copied without allocating.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace rubblemap {

// At most `Capacity` bytes of UTF-8, with a terminating zero behind them.
template <std::size_t Capacity>
class Text {
public:
  // False, and unchanged, when the value is too long.
  [[nodiscard]] bool assign(std::string_view value) noexcept {
    if (value.size() > Capacity) return false;
    if (!value.empty()) std::memcpy(bytes_, value.data(), value.size());
    bytes_[value.size()] = '\0';
    size_ = static_cast<std::uint16_t>(value.size());
    return true;
  }

  // As much of the value as there is room for.
  void append(std::string_view value) noexcept {
    const std::size_t added = value.size() < Capacity - size_ ? value.size() : Capacity - size_;
    if (added > 0) std::memcpy(bytes_ + size_, value.data(), added);
    size_ = static_cast<std::uint16_t>(size_ + added);
    bytes_[size_] = '\0';
  }

  std::string_view view() const noexcept { return {bytes_, size_}; }
  operator std::string_view() const noexcept { return view(); }
  const char* c_str() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  friend bool operator==(const Text& left, std::string_view right) noexcept { return left.view() == right; }
  friend bool operator!=(const Text& left, std::string_view right) noexcept { return left.view() != right; }

private:
  static_assert(Capacity <= 0xFFFF, "the size is kept in 16 bits");
  char bytes_[Capacity + 1] = {};
  std::uint16_t size_ = 0;
};

// At most `Capacity` items, in order.
template <typename Item, std::size_t Capacity>
class List {
public:
  // A further item, as it was left by an earlier use, or nullptr when the list is full.
  [[nodiscard]] Item* add() noexcept { return size_ < Capacity ? &items_[size_++] : nullptr; }

  void clear() noexcept { size_ = 0; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const Item& operator[](std::size_t index) const noexcept { return items_[index]; }
  Item& operator[](std::size_t index) noexcept { return items_[index]; }
  const Item* begin() const noexcept { return items_; }
  const Item* end() const noexcept { return items_ + size_; }

private:
  Item items_[Capacity] = {};
  std::size_t size_ = 0;
};

}  // namespace rubblemap
