// What the sockets of a program share: libzmq's context with its I/O thread, the only thread there is.
#pragma once

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

// Ends the I/O thread when the last object that uses it is gone, after sending what their linger times allow.
class Context {
public:
  Context();  // throws OpenError
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* handle() const noexcept { return handle_; }

  // Keeps memory that the I/O thread may still read until that thread has ended.
  void keep(std::shared_ptr<void> storage);

private:
  void* handle_;
  std::mutex lock_;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace rubblemap
