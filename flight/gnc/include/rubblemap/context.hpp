// What the sockets of a program share: libzmq's context with its two threads, one for I/O and one that closes sockets.
// The library has none of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace rubblemap {

// Something cannot be opened; what() names it, and what libzmq says.
class OpenError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// Memory that libzmq's threads may still read when its owner is gone.
class Lent {
public:
  virtual ~Lent() = default;
  // Once false for an owner that is gone, it stays so.
  virtual bool in_use() const noexcept = 0;
};

// Ends libzmq's threads when the last object that uses them is gone, after sending what their linger times allow. In a
// forked child, which does not have these threads, it ends nothing.
class Context {
public:
  Context();  // throws OpenError
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* handle() const noexcept { return handle_; }
  // Whether this process made it, and not the parent of a fork.
  bool usable() const noexcept;

  // Keeps memory until its owner is gone and libzmq has done with it. Frees what that is true of by now; prune() does
  // that only.
  void keep(std::shared_ptr<Lent> memory);
  void prune() noexcept;
  // How many are kept.
  std::size_t kept() noexcept;

private:
  void drop_unused() noexcept;

  void* handle_;
  const long process_;
  std::mutex lock_;
  std::vector<std::shared_ptr<Lent>> kept_;
};

}  // namespace rubblemap
