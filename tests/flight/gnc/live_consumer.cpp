// A consumer of a running service, for test_live.py. Receives products of the given topics and writes a line for each,
// with the CRC-32 of its first plane; ends when standard input closes, with a line of statistics for each topic.
//   rubblemap_live_consumer ENDPOINT KEYS|- TOPIC...
#include <poll.h>
#include <unistd.h>
#include <zlib.h>

#include <cinttypes>

#include "check.hpp"
#include "rubblemap/receiver.hpp"

namespace {

bool input_has_closed() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  char byte;
  return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) == 0;
}

rubblemap::Topic topic_of(const std::string& name) {
  for (const auto topic : {rubblemap::Topic::navigation, rubblemap::Topic::hazard, rubblemap::Topic::full}) {
    if (topic == name) return topic;
  }
  std::fprintf(stderr, "topic: expected map.navigation | map.hazard | map.full, got %s\n", name.c_str());
  std::exit(2);
}

void show(const rubblemap::Product& product) {
  std::uint32_t crc = 0;
  if (!product.planes.empty()) {
    const rubblemap::Part& bytes = product.planes[0].bytes;
    crc = static_cast<std::uint32_t>(crc32(0, bytes.data, static_cast<unsigned>(bytes.size)));
  }
  std::printf("product %s %" PRIu64 " %" PRIu32 " %" PRIu64 " %s %08" PRIx32 "\n", name_of(product.topic).data(),
              product.sequence, product.epoch, product.frame_id, name_of(product.status).data(), crc);
}

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc > 3);
  rubblemap::ReceiverOptions options;
  options.endpoint = argv[1];
  if (std::string(argv[2]) != "-") options.keys = argv[2];
  options.topics.clear();
  for (int i = 3; i < argc; ++i) options.topics.push_back(topic_of(argv[i]));
  try {
    rubblemap::Receiver receiver(options);
    std::puts("open");
    std::fflush(stdout);
    while (!input_has_closed()) {
      receiver.poll(20);
      for (auto product = receiver.take(); product; product = receiver.take()) show(*product);
      std::fflush(stdout);
    }
    for (const rubblemap::Topic topic : options.topics) {
      const auto& counts = receiver.statistics().of(topic);
      std::printf("statistics %s received %" PRIu64 " lost %" PRIu64 " skipped %" PRIu64 " restarts %" PRIu64 "\n",
                  name_of(topic).data(), counts.received, counts.lost, counts.skipped, counts.restarts);
    }
    std::printf("malformed %" PRIu64 "\n", receiver.statistics().all_malformed());
  } catch (const rubblemap::OpenError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
