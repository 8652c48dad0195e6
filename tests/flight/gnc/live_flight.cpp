// Camera, consumer and operator in one program against a running service, for test_live.py: sends frames, waits for the
// product of each, and commands. Prints what the service counted.
//   rubblemap_live_flight FRAMES_ENDPOINT PRODUCTS_ENDPOINT COMMANDS_ENDPOINT CAMERA_KEYS CONSUMER_KEYS COMMANDER_KEYS
#include <chrono>
#include <cinttypes>

#include "check.hpp"
#include "rubblemap/commander.hpp"
#include "rubblemap/frame_sender.hpp"
#include "rubblemap/receiver.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t height = 40, width = 60;
constexpr std::uint64_t frames = 10;

// A rough bright disk on a dark sky.
std::vector<std::uint16_t> picture(std::uint64_t number) {
  std::vector<std::uint16_t> pixels(height * width, 5);
  for (std::uint32_t v = 0; v < height; ++v) {
    for (std::uint32_t u = 0; u < width; ++u) {
      const double x = u - width / 2.0, y = v - height / 2.0;
      if (x * x + y * y >= 14.0 * 14.0) continue;
      pixels[v * width + u] = static_cast<std::uint16_t>(2000 + (u * v + number) % 1500);
    }
  }
  return pixels;
}

// Sends a command, as soon as the service is there, and waits for its reply.
rubblemap::Reply command(rubblemap::Commander& commander, const char* name,
                         const std::vector<rubblemap::Argument>& arguments, std::string_view inside = {}) {
  rubblemap::Reply reply;
  std::uint64_t id = 0;
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (commander.send(name, arguments.data(), arguments.size(), 20000, id, inside) != rubblemap::Sent::yes) {
    REQUIRE(Clock::now() < deadline);
    static_cast<void>(commander.poll(reply, 10));  // no command is under way: a pause
  }
  REQUIRE(commander.poll(reply, 20000) == rubblemap::Answer::reply && reply.id == id);
  return reply;
}

void fly(rubblemap::FrameSender& camera, rubblemap::Receiver& receiver) {
  for (std::uint64_t number = 0; number < frames;) {
    const auto pixels = picture(number);
    rubblemap::Frame frame;
    frame.pixels = pixels.data();
    frame.height = height;
    frame.width = width;
    frame.type = rubblemap::PixelType::u16;
    frame.bit_depth = 12;
    frame.centered = true;
    frame.exposure_s = 0.5;
    std::uint64_t frame_id = 0;
    if (camera.send(frame, &frame_id) != rubblemap::Sent::yes) {
      receiver.poll(10);
      continue;
    }
    REQUIRE(frame_id == number++);
    // The first frames may be answered before the subscription has arrived.
    if (receiver.poll(frame_id < 3 ? 2000 : 20000) == 0) {
      REQUIRE(frame_id < 3);
      continue;
    }
    const auto product = receiver.take();
    REQUIRE(product && product->frame_id == frame_id && product->source == "navcam" && product->epoch == 12);
    REQUIRE(product->status != rubblemap::Status::invalid && product->planes.size() == 3);
  }
}

}  // namespace

int main(int argc, char** argv) {
  REQUIRE(argc == 7);
  const auto context = std::make_shared<rubblemap::Context>();
  rubblemap::FrameSenderOptions sending;
  sending.endpoint = argv[1];
  sending.source = "navcam";
  sending.epoch = 12;
  sending.keys = argv[4];
  rubblemap::ReceiverOptions receiving;
  receiving.endpoint = argv[2];
  receiving.keys = argv[5];
  rubblemap::FrameSender camera(sending, context);
  rubblemap::Receiver receiver(receiving, context);
  rubblemap::Commander commander({argv[3], argv[6]}, context);
  fly(camera, receiver);

  REQUIRE(command(commander, "set_parameters", {{"passes", 2}, {"gamma", 2.0}}, "values").code == "ok");
  rubblemap::Value value;
  REQUIRE(commander.result("passes", value) && value.whole == 2);
  const auto refused = command(commander, "set_parameter", {{"name", "passes"}, {"value", 1000}});
  REQUIRE(refused.status == rubblemap::ReplyStatus::rejected && refused.code == "invalid_argument");
  REQUIRE(command(commander, "no_op", {}).status == rubblemap::ReplyStatus::completed);
  REQUIRE(command(commander, "get_status", {}).code == "ok");
  REQUIRE(commander.result("counters.frames_accepted", value));
  std::printf("frames_accepted %" PRIu64 "\n", value.whole);
  REQUIRE(commander.result("parameters.gamma", value));
  std::printf("gamma %g\n", value.type == rubblemap::Value::Type::real ? value.real : static_cast<double>(value.whole));
  std::printf("lost %" PRIu64 "\n", receiver.statistics().of(rubblemap::Topic::navigation).lost);
  return 0;
}
