// The deployment's program.
#include <getopt.h>

#include <MapDeployment/Top/MapDeploymentTopology.hpp>
#include <Os/Os.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

constexpr const char* usage =
    "usage: %s [-a HOST -p PORT] [-m ENDPOINT] [-c ENDPOINT] [-k KEYS]\n"
    "  -a, -p  address and port of the ground system (default: none)\n"
    "  -m      endpoint of the service's products (default: %s)\n"
    "  -c      endpoint of its commands (default: %s)\n"
    "  -k      folder with a client's keys (default: none)\n"
    "example: %s -a 127.0.0.1 -p 50000 -m tcp://127.0.0.1:5602 -c tcp://127.0.0.1:5604\n";

// False for what is no port.
bool read_port(const char* text, U16& port) {
  char* end = nullptr;
  const unsigned long number = std::strtoul(text, &end, 10);
  if (end == text || *end != '\0' || number == 0 || number > 65535) return false;
  port = static_cast<U16>(number);
  return true;
}

}  // namespace

int main(int argc, char* argv[]) {
  MapDeployment::TopologyState state;
  state.receiver.topics = {rubblemap::Topic::navigation, rubblemap::Topic::hazard};
  int option = 0;
  while ((option = getopt(argc, argv, "ha:p:m:c:k:")) != -1) {
    switch (option) {
      case 'a': state.hostname = optarg; break;
      case 'p':
        if (!read_port(optarg, state.port)) {
          (void)std::fprintf(stderr, "-p: expected a port from 1 to 65535, got %s\n", optarg);
          return 2;
        }
        break;
      case 'm': state.receiver.endpoint = optarg; break;
      case 'c': state.commander.endpoint = optarg; break;
      case 'k':
        state.receiver.keys = optarg;
        state.commander.keys = optarg;
        break;
      default:
        (void)std::fprintf(option == 'h' ? stdout : stderr, usage, argv[0], rubblemap::default_products_endpoint,
                           rubblemap::default_commands_endpoint, argv[0]);
        return option == 'h' ? 0 : 2;
    }
  }
  if ((state.hostname == nullptr) != (state.port == 0)) {
    (void)std::fprintf(stderr, "-a and -p: expected both or neither, got one\n");
    return 2;
  }

  // A thread takes the signals, as a handler must not lock the timer's mutex. Blocked before any other thread begins.
  sigset_t signals;
  (void)sigemptyset(&signals);
  (void)sigaddset(&signals, SIGINT);
  (void)sigaddset(&signals, SIGTERM);
  (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Os::init();
  MapDeployment::setup_topology(state);
  std::thread waiting([&signals] {
    int received = 0;
    (void)sigwait(&signals, &received);
    MapDeployment::stop_cycles();
  });
  MapDeployment::run_cycles();
  waiting.join();
  MapDeployment::teardown_topology(state);
  return 0;
}
