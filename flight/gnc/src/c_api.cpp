#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <new>
#include <optional>
#include <vector>

#include "rubblemap/commander.hpp"
#include "rubblemap/consumer_maps.hpp"
#include "rubblemap/frame_sender.hpp"
#include "rubblemap/receiver.hpp"
#include "rubblemap_gnc.h"

namespace rm = rubblemap;

// The C header's numbers are the C++ library's, one by one.
#define SAME(c_name, cpp_value) static_assert((c_name) == static_cast<int>(cpp_value))
SAME(RUBBLEMAP_MOST_FLAGS, rm::most_flags);
SAME(RUBBLEMAP_MOST_CLASSES, rm::most_classes);
SAME(RUBBLEMAP_MOST_PLANES, rm::most_planes);
SAME(RUBBLEMAP_MOST_CIRCLES, rm::consumers::most_circles);
SAME(RUBBLEMAP_TOPICS, rm::topic_count);
SAME(RUBBLEMAP_REASONS, rm::reason_count);
SAME(RUBBLEMAP_FLAGS, rm::consumers::flag_count);
SAME(RUBBLEMAP_NAVIGATION, rm::Topic::navigation);
SAME(RUBBLEMAP_HAZARD, rm::Topic::hazard);
SAME(RUBBLEMAP_FULL, rm::Topic::full);
SAME(RUBBLEMAP_TOPIC_NAVIGATION, 1u << RUBBLEMAP_NAVIGATION);
SAME(RUBBLEMAP_TOPIC_HAZARD, 1u << RUBBLEMAP_HAZARD);
SAME(RUBBLEMAP_TOPIC_FULL, 1u << RUBBLEMAP_FULL);
SAME(RUBBLEMAP_VALID, rm::Status::valid);
SAME(RUBBLEMAP_DEGRADED, rm::Status::degraded);
SAME(RUBBLEMAP_INVALID, rm::Status::invalid);
SAME(RUBBLEMAP_U8, rm::Dtype::u8);
SAME(RUBBLEMAP_F16, rm::Dtype::f16);
SAME(RUBBLEMAP_BACKGROUND, rm::Role::background);
SAME(RUBBLEMAP_SAFE, rm::Role::safe);
SAME(RUBBLEMAP_HAZARDOUS, rm::Role::hazard);
SAME(RUBBLEMAP_TERMINATOR, rm::Role::terminator);
SAME(RUBBLEMAP_COMPLETED, rm::ReplyStatus::completed);
SAME(RUBBLEMAP_REJECTED, rm::ReplyStatus::rejected);
SAME(RUBBLEMAP_FAILED, rm::ReplyStatus::failed);
SAME(RUBBLEMAP_CRC_MISMATCH, rm::Reason::crc_mismatch);
SAME(RUBBLEMAP_MAP, rm::Value::Type::map);
SAME(RUBBLEMAP_REFUSALS, rm::consumers::refusal_count);
SAME(RUBBLEMAP_REFUSAL_HIGH_ENTROPY, rm::consumers::Refusal::high_entropy);
SAME(RUBBLEMAP_REFUSAL_INVALID_ARGUMENT, rm::consumers::Refusal::invalid_argument);
SAME(RUBBLEMAP_REFUSAL_NOT_A_BODY, rm::consumers::Refusal::not_a_body);
SAME(RUBBLEMAP_REFUSAL_SATURATED, rm::consumers::Refusal::saturated);
SAME(RUBBLEMAP_REFUSAL_BODY_SMALL, rm::consumers::Refusal::body_small);
SAME(RUBBLEMAP_SUN_TERMINATOR, rm::consumers::SunSource::terminator);
#undef SAME

namespace {

constexpr std::size_t most_arguments = 64;
constexpr std::uint32_t all_topics = RUBBLEMAP_TOPIC_NAVIGATION | RUBBLEMAP_TOPIC_HAZARD | RUBBLEMAP_TOPIC_FULL;

// A product in its C form, and the one it views.
struct Held {
  rm::TakenProduct taken;
  rubblemap_product product{};
};

thread_local char open_error[256] = "";

template <std::size_t Size>
void copy(char (&out)[Size], std::string_view text) noexcept {
  const std::size_t size = std::min(text.size(), Size - 1);
  if (size > 0) std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

void copy(rubblemap_plane& out, const rm::Plane& plane) noexcept {
  copy(out.name, plane.name);
  copy(out.units, plane.units);
  out.dtype = static_cast<rubblemap_dtype>(plane.dtype);
  out.dimensions = static_cast<std::uint32_t>(plane.shape.size());
  for (std::size_t i = 0; i < 3; ++i) out.shape[i] = i < plane.shape.size() ? plane.shape[i] : 0;
  out.bytes = plane.bytes.data;
  out.size = plane.bytes.size;
}

void copy(rubblemap_product& out, const rm::Product& product) noexcept {
  out.topic = static_cast<rubblemap_topic>(product.topic);
  out.status = static_cast<rubblemap_status>(product.status);
  out.sequence = product.sequence;
  out.epoch = product.epoch;
  out.frame_id = product.frame_id;
  out.capture_time_ns = product.capture_time_ns;
  out.received_time_ns = product.received_time_ns;
  out.published_time_ns = product.published_time_ns;
  out.seed = product.seed;
  out.gamma = product.gamma;
  out.uncertainty_threshold = product.uncertainty_threshold;
  std::copy(product.map_to_sensor.begin(), product.map_to_sensor.end(), out.map_to_sensor);
  const rm::Timing& timing = product.timing_ms;
  const double times[] = {timing.queue, timing.center, timing.passes, timing.fuse, timing.publish};
  std::copy(std::begin(times), std::end(times), out.timing_ms);
  out.passes_requested = product.passes_requested;
  out.passes_used = product.passes_used;
  out.flag_count = static_cast<std::uint32_t>(product.flags.size());
  out.class_count = static_cast<std::uint32_t>(product.classes.size());
  out.plane_count = static_cast<std::uint32_t>(product.planes.size());
  copy(out.source, product.source);
  copy(out.mode, product.mode);
  copy(out.bundle_name, product.bundle.name);
  copy(out.bundle_version, product.bundle.version);
  copy(out.bundle_sha256, product.bundle.sha256);
  for (std::size_t i = 0; i < product.flags.size(); ++i) copy(out.flags[i], product.flags[i]);
  for (std::size_t i = 0; i < product.classes.size(); ++i) {
    out.classes[i].index = product.classes[i].index;
    out.classes[i].role = static_cast<rubblemap_role>(product.classes[i].role);
    copy(out.classes[i].name, product.classes[i].name);
  }
  for (std::size_t i = 0; i < product.planes.size(); ++i) copy(out.planes[i], product.planes[i]);
}

void copy(rubblemap_fix& out, const rm::consumers::NavigationFix& fix) noexcept {
  out.x = fix.x;
  out.y = fix.y;
  out.covariance_xx = fix.covariance_xx;
  out.covariance_xy = fix.covariance_xy;
  out.covariance_yy = fix.covariance_yy;
  out.area = fix.area;
  out.diameter = fix.diameter;
  out.major_axis = fix.major_axis;
  out.minor_axis = fix.minor_axis;
  out.major_angle_deg = fix.major_angle_deg;
  out.body_pixels = fix.body_pixels;
  out.terminator_pixels = fix.terminator_pixels;
  out.edge_pixels = fix.edge_pixels;
  out.sun_source = static_cast<rubblemap_sun_source>(fix.sun.source);
  out.sun_x = fix.sun.x;
  out.sun_y = fix.sun.y;
  out.sun_angle_deg = fix.sun.angle_deg;
  out.sun_strength = fix.sun.strength;
  out.sun_sign_known = fix.sun.sign_known ? 1 : 0;
  out.warnings = fix.warnings;
}

void copy(rubblemap_landing& out, const rm::consumers::LandingCircles& found) noexcept {
  out.count = static_cast<std::uint32_t>(found.count);
  for (std::size_t i = 0; i < found.count; ++i) {
    const rm::consumers::LandingCircle& circle = found.circles[i];
    out.circles[i] = {circle.x,
                      circle.y,
                      circle.radius,
                      circle.column,
                      circle.row,
                      circle.worst_probability,
                      circle.worst_x,
                      circle.worst_y,
                      circle.worst_entropy,
                      circle.mean_probability};
  }
  out.dropped = found.dropped;
  out.complete = found.complete ? 1 : 0;
  out.warnings = found.warnings;
}

std::string text_of(const char* text) { return text == nullptr ? std::string() : std::string(text); }

rm::Value to_value(const rubblemap_value& value) noexcept {
  switch (value.type) {
    case RUBBLEMAP_BOOLEAN: return {value.boolean != 0};
    case RUBBLEMAP_WHOLE: return {value.whole};
    case RUBBLEMAP_NEGATIVE: return {value.negative};
    case RUBBLEMAP_REAL: return {value.real};
    case RUBBLEMAP_TEXT:
      if (value.text == nullptr) return {""};
      return {value.text_size > 0 ? std::string_view(value.text, value.text_size) : std::string_view(value.text)};
    case RUBBLEMAP_NIL:
    case RUBBLEMAP_LIST:
    case RUBBLEMAP_MAP: break;
  }
  return {};
}

double share_of(double value, const char* name) {
  if (value >= 0.0 && value <= 1.0) return value;
  throw rm::OpenError(std::string("options.") + name + ": expected 0..1, got " + std::to_string(value));
}

rubblemap_code code_of(rm::Sent sent) noexcept {
  if (sent == rm::Sent::yes) return RUBBLEMAP_OK;
  return sent == rm::Sent::not_taken ? RUBBLEMAP_NOT_TAKEN : RUBBLEMAP_REFUSED;
}

}  // namespace

struct rubblemap_gnc {
  explicit rubblemap_gnc(const rubblemap_options& options) : context(std::make_shared<rm::Context>()) {
    open_receiver(options);
    open_sender(options);
    if (options.commands_endpoint != nullptr) {
      const rm::CommanderOptions commanding{options.commands_endpoint, text_of(options.commands_keys),
                                            options.heartbeat_ms};
      commander.emplace(commanding, context);
    }
  }

  void open_receiver(const rubblemap_options& options) {
    if (options.products_endpoint == nullptr) return;
    if (options.topics == 0 || (options.topics & ~all_topics) != 0) {
      throw rm::OpenError("options.topics: expected RUBBLEMAP_TOPIC_NAVIGATION | _HAZARD | _FULL, one or more, got " +
                          std::to_string(options.topics));
    }
    limits = {share_of(options.most_hazard_probability, "most_hazard_probability"),
              share_of(options.most_entropy, "most_entropy")};
    rm::ReceiverOptions receiving;
    receiving.endpoint = options.products_endpoint;
    receiving.keys = text_of(options.products_keys);
    receiving.topics.clear();
    for (unsigned topic = 0; topic < rm::topic_count; ++topic) {
      if ((options.topics & (1u << topic)) != 0) receiving.topics.push_back(static_cast<rm::Topic>(topic));
    }
    receiving.max_height = options.max_height;
    receiving.max_width = options.max_width;
    receiving.max_classes = options.max_classes;
    receiving.max_taken = options.max_taken;
    receiving.queue = options.queue;
    receiving.heartbeat_ms = options.heartbeat_ms;
    receiver.emplace(receiving, context);
    held = std::vector<Held>(receiving.max_taken);
    workspace.emplace(static_cast<std::size_t>(receiving.max_height) * receiving.max_width);
  }

  void open_sender(const rubblemap_options& options) {
    if (options.frames_endpoint == nullptr) return;
    rm::FrameSenderOptions sending;
    sending.endpoint = options.frames_endpoint;
    sending.keys = text_of(options.frames_keys);
    sending.source = text_of(options.source);
    if (options.has_epoch != 0) sending.epoch = options.epoch;
    sending.max_pixel_bytes = options.max_pixel_bytes;
    sending.max_frames = options.max_frames;
    sending.linger_ms = options.linger_ms;
    sending.heartbeat_ms = options.heartbeat_ms;
    sender.emplace(sending, context);
  }

  rubblemap_code fail(rubblemap_code code, const char* message) noexcept {
    copy(error, message);
    return code;
  }

  rubblemap_code hand_over(rm::TakenProduct taken, const rubblemap_product** product, std::uint64_t before) noexcept {
    *product = nullptr;
    if (!taken) return receiver->statistics().not_taken > before ? RUBBLEMAP_NOT_TAKEN : RUBBLEMAP_NOTHING;
    const auto place = std::find_if(held.begin(), held.end(), [](const Held& h) { return !h.taken; });
    place->taken = std::move(taken);  // the receiver hands over no more than there are places
    copy(place->product, *place->taken);
    *product = &place->product;
    return RUBBLEMAP_OK;
  }

  // What the caller holds at this address, if it is of the topic; otherwise nullptr, with the refusal and the error.
  const rm::Product* product_held(const rubblemap_product* product, rm::Topic topic, const char* function,
                                  rubblemap_refusal& refusal) noexcept {
    const auto place =
        std::find_if(held.begin(), held.end(), [product](const Held& h) { return h.taken && &h.product == product; });
    if (place == held.end()) {
      refusal = RUBBLEMAP_REFUSAL_INVALID_ARGUMENT;
      std::snprintf(error, sizeof error, "%s: product: expected one that is held, got another", function);
      return nullptr;
    }
    if (place->taken->topic == topic) return place->taken.get();
    refusal = RUBBLEMAP_REFUSAL_MALFORMED_INPUT;
    std::snprintf(error, sizeof error, "%s: product: expected one of %s, got one of %s", function,
                  rm::name_of(topic).data(), rm::name_of(place->taken->topic).data());
    return nullptr;
  }

  // What a consumer's refusal is to the caller: the map's doing, or its own.
  rubblemap_code code_of(rm::consumers::Refusal refusal, const char* function) noexcept {
    using rm::consumers::Refusal;
    if (refusal == Refusal::none) return RUBBLEMAP_OK;
    if (refusal < Refusal::malformed_input) return RUBBLEMAP_NOTHING;
    const std::string_view name = rm::consumers::name_of(refusal);
    std::snprintf(error, sizeof error, "%s: refused: %.*s", function, static_cast<int>(name.size()), name.data());
    return RUBBLEMAP_REFUSED;
  }

  std::shared_ptr<rm::Context> context;
  std::optional<rm::consumers::Workspace> workspace;
  std::optional<rm::Receiver> receiver;
  std::optional<rm::FrameSender> sender;
  std::optional<rm::Commander> commander;
  rm::consumers::LandingLimits limits;
  std::vector<Held> held;  // after the receiver, which it gives its products back to
  char error[256] = "";
};

extern "C" {

void rubblemap_default_options(rubblemap_options* options) {
  *options = rubblemap_options{};
  options->topics = RUBBLEMAP_TOPIC_NAVIGATION;
  options->max_height = 256;
  options->max_width = 256;
  options->max_classes = 8;
  options->max_taken = 2;
  options->queue = 16;
  options->heartbeat_ms = 2000;
  options->most_hazard_probability = rm::consumers::most_hazard_probability;
  options->most_entropy = rm::consumers::most_entropy;
  options->source = "camera";
  options->max_pixel_bytes = 4u << 20;
  options->max_frames = 4;
  options->linger_ms = 1000;
}

rubblemap_code rubblemap_open(const rubblemap_options* options, rubblemap_gnc** gnc) {
  *gnc = nullptr;
  try {
    *gnc = new rubblemap_gnc(*options);
    return RUBBLEMAP_OK;
  } catch (const std::bad_alloc&) {
    copy(open_error, "open: expected memory for what the options ask for, got none");
    return RUBBLEMAP_NO_MEMORY;
  } catch (const std::exception& error) {
    copy(open_error, error.what());
    return RUBBLEMAP_OPEN_FAILED;
  }
}

void rubblemap_close(rubblemap_gnc* gnc) { delete gnc; }

rubblemap_code rubblemap_poll(rubblemap_gnc* gnc, int timeout_ms) {
  if (!gnc->receiver) return gnc->fail(RUBBLEMAP_NOT_OPENED, "poll: expected a products_endpoint, got none");
  if (gnc->receiver->poll(timeout_ms) > 0) return RUBBLEMAP_OK;
  return gnc->receiver->usable() ? RUBBLEMAP_NOTHING : gnc->fail(RUBBLEMAP_REFUSED, gnc->receiver->last_error());
}

rubblemap_code rubblemap_take_topic(rubblemap_gnc* gnc, rubblemap_topic topic, const rubblemap_product** product) {
  *product = nullptr;
  if (!gnc->receiver) return gnc->fail(RUBBLEMAP_NOT_OPENED, "take: expected a products_endpoint, got none");
  const std::uint64_t before = gnc->receiver->statistics().not_taken;
  return gnc->hand_over(gnc->receiver->take(static_cast<rm::Topic>(topic)), product, before);
}

rubblemap_code rubblemap_take(rubblemap_gnc* gnc, const rubblemap_product** product) {
  *product = nullptr;
  if (!gnc->receiver) return gnc->fail(RUBBLEMAP_NOT_OPENED, "take: expected a products_endpoint, got none");
  const std::uint64_t before = gnc->receiver->statistics().not_taken;
  return gnc->hand_over(gnc->receiver->take(), product, before);
}

void rubblemap_release(rubblemap_gnc* gnc, const rubblemap_product* product) {
  for (Held& place : gnc->held) {
    if (&place.product == product) place.taken.reset();
  }
}

const rubblemap_plane* rubblemap_find_plane(const rubblemap_product* product, const char* name) {
  for (std::uint32_t i = 0; i < product->plane_count; ++i) {
    if (std::strcmp(product->planes[i].name, name) == 0) return &product->planes[i];
  }
  return nullptr;
}

rubblemap_code rubblemap_navigation_fix(rubblemap_gnc* gnc, const rubblemap_product* product, rubblemap_fix* fix) {
  *fix = rubblemap_fix{};
  fix->refusal = RUBBLEMAP_REFUSAL_INVALID_ARGUMENT;
  if (!gnc->receiver) return gnc->fail(RUBBLEMAP_NOT_OPENED, "navigation_fix: expected a products_endpoint, got none");
  const rm::Product* from = gnc->product_held(product, rm::Topic::navigation, "navigation_fix", fix->refusal);
  if (from == nullptr) return RUBBLEMAP_REFUSED;
  rm::consumers::NavigationFix result;
  const auto refusal = rm::consumers::navigation_fix(rm::consumers::navigation_map(*from), *gnc->workspace, result);
  fix->refusal = static_cast<rubblemap_refusal>(refusal);
  if (refusal == rm::consumers::Refusal::none) copy(*fix, result);
  return gnc->code_of(refusal, "navigation_fix");
}

rubblemap_code rubblemap_landing_circles(rubblemap_gnc* gnc, const rubblemap_product* product, double minimum_radius_px,
                                         uint32_t count, rubblemap_landing* landing) {
  *landing = rubblemap_landing{};
  landing->refusal = RUBBLEMAP_REFUSAL_INVALID_ARGUMENT;
  if (!gnc->receiver) return gnc->fail(RUBBLEMAP_NOT_OPENED, "landing_circles: expected a products_endpoint, got none");
  const rm::Product* from = gnc->product_held(product, rm::Topic::hazard, "landing_circles", landing->refusal);
  if (from == nullptr) return RUBBLEMAP_REFUSED;
  rm::consumers::LandingCircles result;
  const auto refusal = rm::consumers::landing_circles(rm::consumers::hazard_map(*from), minimum_radius_px, count,
                                                      *gnc->workspace, result, gnc->limits);
  landing->refusal = static_cast<rubblemap_refusal>(refusal);
  if (refusal == rm::consumers::Refusal::none) copy(*landing, result);
  return gnc->code_of(refusal, "landing_circles");
}

rubblemap_code rubblemap_send_frame(rubblemap_gnc* gnc, const rubblemap_frame* frame, uint64_t* frame_id) {
  if (!gnc->sender) return gnc->fail(RUBBLEMAP_NOT_OPENED, "send_frame: expected a frames_endpoint, got none");
  if (frame->type_bits != 8 && frame->type_bits != 16) {
    return gnc->fail(RUBBLEMAP_REFUSED, "frame.type_bits: expected 8 | 16, got another number");
  }
  rm::Frame out;
  out.pixels = frame->pixels;
  out.height = frame->height;
  out.width = frame->width;
  out.channels = frame->channels;
  out.type = frame->type_bits == 8 ? rm::PixelType::u8 : rm::PixelType::u16;
  out.bit_depth = frame->bit_depth;
  out.row_bytes = frame->row_bytes;
  out.capture_time_ns = frame->capture_time_ns;
  out.centered = frame->centered != 0;
  if (frame->has_exposure_s != 0) out.exposure_s = frame->exposure_s;
  if (frame->has_range_km != 0) out.range_km = frame->range_km;
  if (frame->has_sun_direction_camera != 0) {
    const double* sun = frame->sun_direction_camera;
    out.sun_direction_camera = {sun[0], sun[1], sun[2]};
  }
  const rm::Sent sent = gnc->sender->send(out, frame_id);
  if (sent == rm::Sent::refused) copy(gnc->error, gnc->sender->last_error());
  return code_of(sent);
}

rubblemap_code rubblemap_send_command(rubblemap_gnc* gnc, const char* name, const char* inside,
                                      const rubblemap_argument* arguments, size_t count, int timeout_ms, uint64_t* id) {
  if (!gnc->commander) return gnc->fail(RUBBLEMAP_NOT_OPENED, "send_command: expected a commands_endpoint, got none");
  if (count > most_arguments) {
    return gnc->fail(RUBBLEMAP_REFUSED, "command.arguments: expected at most 64, got more");
  }
  std::array<rm::Argument, most_arguments> out;
  for (std::size_t i = 0; i < count; ++i) out[i] = {arguments[i].name, to_value(arguments[i].value)};
  std::uint64_t sent_id = 0;
  const rm::Sent sent = gnc->commander->send(name, out.data(), count, timeout_ms, sent_id,
                                             inside == nullptr ? std::string_view{} : std::string_view{inside});
  if (sent == rm::Sent::refused) copy(gnc->error, gnc->commander->last_error());
  if (id != nullptr) *id = sent_id;
  return code_of(sent);
}

rubblemap_code rubblemap_poll_reply(rubblemap_gnc* gnc, int timeout_ms, rubblemap_reply* reply) {
  *reply = rubblemap_reply{};
  if (!gnc->commander) return gnc->fail(RUBBLEMAP_NOT_OPENED, "poll_reply: expected a commands_endpoint, got none");
  rm::Reply came;
  const rm::Answer answer = gnc->commander->poll(came, timeout_ms);
  if (answer == rm::Answer::none && !gnc->commander->usable()) {
    return gnc->fail(RUBBLEMAP_REFUSED, gnc->commander->last_error());
  }
  if (answer == rm::Answer::none) return RUBBLEMAP_NOTHING;
  reply->id = came.id;
  reply->status = static_cast<rubblemap_reply_status>(came.status);
  copy(reply->code, came.code);
  copy(reply->message, came.message);
  return answer == rm::Answer::reply ? RUBBLEMAP_OK : RUBBLEMAP_TIMED_OUT;
}

rubblemap_code rubblemap_result(const rubblemap_gnc* gnc, const char* path, rubblemap_value* value) {
  *value = rubblemap_value{};
  rm::Value found;
  if (!gnc->commander || !gnc->commander->result(path, found)) return RUBBLEMAP_NOTHING;
  value->type = static_cast<rubblemap_value_type>(found.type);
  value->boolean = found.boolean ? 1 : 0;
  value->whole = found.whole;
  value->negative = found.negative;
  value->real = found.real;
  value->text = found.text.data();
  value->text_size = found.type == rm::Value::Type::text ? found.text.size() : found.size;
  return RUBBLEMAP_OK;
}

void rubblemap_get_statistics(const rubblemap_gnc* gnc, rubblemap_statistics* statistics) {
  *statistics = rubblemap_statistics{};
  if (gnc->receiver) {
    const rm::ReceiverStatistics& from = gnc->receiver->statistics();
    for (std::size_t i = 0; i < rm::topic_count; ++i) {
      statistics->topics[i] = {from.topics[i].received, from.topics[i].lost, from.topics[i].skipped,
                               from.topics[i].restarts};
    }
    std::copy(from.malformed.begin(), from.malformed.end(), statistics->malformed);
    statistics->products_not_taken = from.not_taken;
  }
  if (gnc->sender) {
    statistics->frames_sent = gnc->sender->sent();
    statistics->frames_not_taken = gnc->sender->not_taken();
  }
  if (gnc->commander) {
    const rm::CommanderStatistics& from = gnc->commander->statistics();
    statistics->commands_sent = from.sent;
    statistics->replies = from.replies;
    statistics->replies_timed_out = from.timed_out;
    statistics->replies_late = from.late;
    statistics->replies_malformed = from.malformed;
  }
}

const char* rubblemap_last_error(const rubblemap_gnc* gnc) { return gnc == nullptr ? open_error : gnc->error; }

const char* rubblemap_last_malformed(const rubblemap_gnc* gnc) {
  return gnc->receiver ? gnc->receiver->last_error() : "";
}

const char* rubblemap_reason_name(rubblemap_reason reason) {
  return static_cast<unsigned>(reason) < rm::reason_count ? rm::name_of(static_cast<rm::Reason>(reason)) : "";
}

const char* rubblemap_refusal_name(rubblemap_refusal refusal) {
  // Literals, with a zero behind them.
  return static_cast<unsigned>(refusal) < rm::consumers::refusal_count
             ? rm::consumers::name_of(static_cast<rm::consumers::Refusal>(refusal)).data()
             : "";
}

const char* rubblemap_flag_name(uint32_t index) {
  return index < RUBBLEMAP_FLAGS ? rm::consumers::flag_name(index).data() : "";
}

float rubblemap_half(const uint8_t* bytes) { return rm::half_to_float(bytes); }

}  // extern "C"
