// Subscribes to map.hazard and prints, for each product, the sensor pixel that is farthest from any hazard.
//   rubblemap_watch [endpoint [count]]
#include <zmq.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "rubblemap/product.hpp"

namespace {

// The parts of one ZeroMQ message; they stay open until the next one is received.
class Message {
public:
  Message() = default;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message() { clear(); }

  bool receive(void* socket) {
    clear();
    bool more = true;
    while (more) {
      parts_.emplace_back();
      zmq_msg_init(&parts_.back());
      if (zmq_msg_recv(&parts_.back(), socket, 0) < 0) return false;
      more = zmq_msg_more(&parts_.back()) != 0;
    }
    return true;
  }

  std::vector<rubblemap::Part> views() {
    std::vector<rubblemap::Part> result;
    for (zmq_msg_t& part : parts_) {
      result.push_back({static_cast<const std::uint8_t*>(zmq_msg_data(&part)), zmq_msg_size(&part)});
    }
    return result;
  }

private:
  void clear() {
    for (zmq_msg_t& part : parts_) zmq_msg_close(&part);
    parts_.clear();
  }

  std::vector<zmq_msg_t> parts_;
};

void print(const rubblemap::Product& product) {
  const rubblemap::Plane* clearance = product.plane("clearance");
  if (clearance == nullptr || clearance->dtype != rubblemap::Dtype::f16 || clearance->shape.size() != 2) {
    std::printf("frame %llu: no map\n", static_cast<unsigned long long>(product.frame_id));
    return;
  }
  const std::size_t width = clearance->shape[1];
  std::size_t best = 0;
  float farthest = -1.0f;
  for (std::size_t i = 0; i < clearance->bytes.size / 2; ++i) {
    const float value = rubblemap::half_to_float(clearance->bytes.data + 2 * i);
    if (value > farthest) {
      farthest = value;
      best = i;
    }
  }
  const double u = static_cast<double>(best % width);
  const double v = static_cast<double>(best / width);
  const auto& m = product.map_to_sensor;
  std::printf("frame %llu: clearance %.1f map px at sensor pixel %.1f %.1f\n",
              static_cast<unsigned long long>(product.frame_id), static_cast<double>(farthest),
              m[0] * u + m[1] * v + m[2], m[3] * u + m[4] * v + m[5]);
}

}  // namespace

int main(int argc, char** argv) {
  const char* endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:5602";
  const long count = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_SUB);
  zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "map.hazard", 10);
  if (zmq_connect(socket, endpoint) != 0) {
    std::fprintf(stderr, "%s: %s\n", endpoint, zmq_strerror(zmq_errno()));
    return 2;
  }
  {
    Message message;
    for (long seen = 0; (count == 0 || seen < count) && message.receive(socket); ++seen) {
      try {
        print(rubblemap::decode_product(message.views()));
      } catch (const rubblemap::ProductError& error) {
        std::fprintf(stderr, "refused: %s\n", error.what());
      }
      std::fflush(stdout);
    }
  }
  zmq_close(socket);
  zmq_ctx_term(context);
  return 0;
}
