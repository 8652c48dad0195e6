// The sender's memory, passed between two threads of our own. The thread sanitizer sees both sides here, which it does
// not where libzmq is one of them: a slot that is filled again while it is still being read is a race that it reports.
#include "slot_pool.hpp"

#include <cstring>
#include <thread>

#include "check.hpp"

namespace {

using rubblemap::SlotPool;

constexpr std::size_t pixel_bytes = 256;
constexpr std::uint32_t frames = 20000;

void check_states() {
  SlotPool pool(2, pixel_bytes);
  SlotPool::Slot* const first = pool.free_slot();
  REQUIRE(first != nullptr && pool.free_slot() == first && !pool.in_use());
  first->lend_part();
  first->lend_part();
  SlotPool::Slot* const second = pool.free_slot();
  REQUIRE(second != nullptr && second != first && second->pixels() != first->pixels() && pool.in_use());
  second->lend_part();
  REQUIRE(pool.free_slot() == nullptr);
  first->give_part_back();
  REQUIRE(pool.free_slot() == nullptr);
  first->give_part_back();
  REQUIRE(pool.free_slot() == first && pool.in_use());
  second->give_part_back();
  REQUIRE(!pool.in_use());
}

// Of the reader's doing nothing but the parts that it gives back reaches the writer.
void check_threads() {
  SlotPool pool(1, pixel_bytes);
  SlotPool::Slot* const slot = pool.free_slot();
  std::atomic<std::uint32_t> written{0};
  std::thread reader([&] {
    for (std::uint32_t frame = 1; frame <= frames; ++frame) {
      while (written.load(std::memory_order_acquire) < frame) std::this_thread::yield();
      REQUIRE(number_at(slot->header()) == frame);
      slot->give_part_back();
      REQUIRE(number_at(slot->pixels()) == frame && number_at(slot->pixels() + pixel_bytes - 4) == frame);
      slot->give_part_back();
    }
  });
  for (std::uint32_t frame = 1; frame <= frames; ++frame) {
    while (pool.free_slot() == nullptr) std::this_thread::yield();
    std::memcpy(slot->header(), &frame, sizeof frame);
    for (std::size_t at = 0; at < pixel_bytes; at += sizeof frame) {
      std::memcpy(slot->pixels() + at, &frame, sizeof frame);
    }
    slot->lend_part();
    slot->lend_part();
    written.store(frame, std::memory_order_release);
  }
  reader.join();
  REQUIRE(!pool.in_use());
}

}  // namespace

int main() {
  check_states();
  check_threads();
  std::puts("slot pool: nothing is filled again while it is read");
  return 0;
}
