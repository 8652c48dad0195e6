// The arguments that the examples share: PROGRAM [ENDPOINT [COUNT [KEYS]]].
#pragma once

#include <cstdio>
#include <cstdlib>

#include "rubblemap/receiver.hpp"

// Receives products of `topic` and gives them to `handle`, COUNT of them, without end for 0 or none. Returns the exit
// code: 2 when nothing can be opened.
template <typename Handle>
int receive_products(int argc, char** argv, rubblemap::Topic topic, Handle handle) {
  rubblemap::ReceiverOptions options;
  if (argc > 1) options.endpoint = argv[1];
  if (argc > 3) options.keys = argv[3];
  options.topics = {topic};
  const long count = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
  try {
    rubblemap::Receiver receiver(options);
    std::uint64_t rejected = 0;
    for (long seen = 0; count == 0 || seen < count;) {
      receiver.poll(1000);
      if (const auto product = receiver.take()) {
        handle(*product);
        std::fflush(stdout);
        ++seen;
      }
      if (receiver.statistics().all_malformed() == rejected) continue;
      rejected = receiver.statistics().all_malformed();
      std::fprintf(stderr, "rejected: %s\n", receiver.last_error());
    }
  } catch (const rubblemap::OpenError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
