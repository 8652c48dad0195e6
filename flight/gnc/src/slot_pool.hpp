// Memory of frames on their way. The sender fills a slot and hands its parts over; another thread reads them and gives
// each back; then the sender may fill the slot again.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "rubblemap/context.hpp"
#include "rubblemap/icd.hpp"

namespace rubblemap {

class SlotPool : public Lent {
public:
  static constexpr std::size_t header_bytes = most_frame_header_bytes;

  class Slot {
  public:
    std::uint8_t* header() noexcept { return header_; }
    std::uint8_t* pixels() noexcept { return pixels_.get(); }

    // By the sender, before it hands over a part of what it wrote.
    void lend_part() noexcept { parts_out_.fetch_add(1, std::memory_order_relaxed); }

    // By whoever has a part, as the last thing that is done with it: all reading comes before.
    void give_part_back() noexcept { parts_out_.fetch_sub(1, std::memory_order_release); }

    // While false, nobody but the sender knows of the slot, and what was read of it has been read.
    bool in_use() const noexcept { return parts_out_.load(std::memory_order_acquire) != 0; }

  private:
    friend class SlotPool;
    std::unique_ptr<std::uint8_t[]> pixels_;
    std::uint8_t header_[header_bytes];
    std::atomic<int> parts_out_{0};
  };

  SlotPool(std::size_t slots, std::size_t pixel_bytes) : slots_(slots) {
    for (Slot& slot : slots_) slot.pixels_ = std::make_unique<std::uint8_t[]>(pixel_bytes);
  }

  // A slot that can be filled, or nullptr.
  [[nodiscard]] Slot* free_slot() noexcept {
    for (Slot& slot : slots_) {
      if (!slot.in_use()) return &slot;
    }
    return nullptr;
  }

  bool in_use() const noexcept override {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.in_use(); });
  }

private:
  std::vector<Slot> slots_;
};

}  // namespace rubblemap
