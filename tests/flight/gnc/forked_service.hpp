// A pretended service in a process of its own, so that it can be stopped: as one whose machine, or link, is gone.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

// To be made before the program has threads. Ends the service when it goes.
class ForkedService {
public:
  template <typename Serve>
  explicit ForkedService(Serve serve) : child_(fork()) {
    REQUIRE(child_ >= 0);
    if (child_ > 0) return;
    serve();
    _exit(1);
  }
  ForkedService(const ForkedService&) = delete;
  ForkedService& operator=(const ForkedService&) = delete;
  ~ForkedService() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

  void stop() {
    int status = 0;
    REQUIRE(kill(child_, SIGSTOP) == 0 && waitpid(child_, &status, WUNTRACED) == child_ && WIFSTOPPED(status));
  }
  void go_on() { REQUIRE(kill(child_, SIGCONT) == 0); }

private:
  pid_t child_;
};
