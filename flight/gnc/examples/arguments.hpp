// The arguments that the examples share: PROGRAM [ENDPOINT [COUNT [KEYS [HEIGHT WIDTH]]]].
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "rubblemap/receiver.hpp"

// The options that the arguments stand for. HEIGHT and WIDTH: of the largest map that may come, 256 each if not given.
// KEYS: "" for none.
inline rubblemap::ReceiverOptions read_arguments(int argc, char** argv) {
  rubblemap::ReceiverOptions options;
  if (argc > 1) options.endpoint = argv[1];
  if (argc > 3) options.keys = argv[3];
  if (argc > 5) {
    options.max_height = static_cast<std::uint32_t>(std::strtoul(argv[4], nullptr, 10));
    options.max_width = static_cast<std::uint32_t>(std::strtoul(argv[5], nullptr, 10));
  }
  return options;
}

// The pixels of that map, for the consumers' workspace.
inline std::size_t most_pixels(int argc, char** argv) {
  const rubblemap::ReceiverOptions options = read_arguments(argc, argv);
  return std::size_t{options.max_height} * options.max_width;
}

// Receives products of `topic` and gives them to `handle`, COUNT of them, without end for 0 or none. Returns the exit
// code: 2 when nothing can be opened.
template <typename Handle>
int receive_products(int argc, char** argv, rubblemap::Topic topic, Handle handle) {
  rubblemap::ReceiverOptions options = read_arguments(argc, argv);
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
