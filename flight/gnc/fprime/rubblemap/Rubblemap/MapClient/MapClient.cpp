#include "Rubblemap/MapClient/MapClient.hpp"

#include <exception>
#include <string>

namespace Rubblemap {

namespace consumers = rubblemap::consumers;

// The model's numbers are the library's.
static_assert(static_cast<int>(Refusal::BODY_SMALL) == static_cast<int>(consumers::Refusal::body_small));
static_assert(static_cast<int>(Refusal::NOT_A_BODY) == static_cast<int>(consumers::Refusal::not_a_body));
static_assert(Refusal::NUM_CONSTANTS == consumers::refusal_count);
static_assert(static_cast<int>(SunSource::ENTROPY) == static_cast<int>(consumers::SunSource::entropy));
static_assert(static_cast<int>(SunSource::TERMINATOR) == static_cast<int>(consumers::SunSource::terminator));
static_assert(std::size_t{LandingCircles::SIZE} <= consumers::most_circles);

namespace {

Refusal refusal_of(consumers::Refusal refusal) { return static_cast<Refusal::T>(refusal); }

FrameStamp stamp_of(const rubblemap::Product& product, consumers::Flags warnings) {
  return FrameStamp(product.frame_id, product.capture_time_ns, warnings);
}

}  // namespace

void MapClient::configure(const rubblemap::ReceiverOptions& receiver, const rubblemap::CommanderOptions& commander) {
  m_receiver_options = receiver;
  m_commander_options = commander;
}

bool MapClient::open() {
  if (m_sockets) return true;
  try {
    m_sockets.emplace(m_receiver_options, m_commander_options);
  } catch (const std::exception& error) {  // rubblemap::OpenError, or no memory
    this->log_WARNING_HI_NotOpened(Fw::LogStringArg(error.what()));
    return false;
  }
  this->log_ACTIVITY_HI_Opened(Fw::LogStringArg(m_receiver_options.endpoint.c_str()),
                               Fw::LogStringArg(m_commander_options.endpoint.c_str()));
  return true;
}

void MapClient::schedIn_handler(FwIndexType, U32) {
  if (!m_sockets) return;
  (void)m_sockets->receiver.poll(0);
  if (const auto product = m_sockets->receiver.take(rubblemap::Topic::navigation)) make_fix(*product);
  if (const auto product = m_sockets->receiver.take(rubblemap::Topic::hazard)) find_sites(*product);
  take_replies();
  request_status();
  write_counts();
}

void MapClient::pingIn_handler(FwIndexType, U32 key) { this->pingOut_out(0, key); }

void MapClient::OPEN_cmdHandler(FwOpcodeType opcode, U32 sequence) {
  this->cmdResponse_out(opcode, sequence, open() ? Fw::CmdResponse::OK : Fw::CmdResponse::EXECUTION_ERROR);
}

void MapClient::make_fix(const rubblemap::Product& product) {
  consumers::NavigationFix found;
  const Refusal refusal =
      refusal_of(consumers::navigation_fix(consumers::navigation_map(product), m_sockets->workspace, found));
  this->tlmWrite_FixRefusal(refusal);
  if (refusal != m_fix_refusal) {
    if (refusal == Refusal::NONE) {
      this->log_ACTIVITY_LO_FixUsable(product.frame_id);
    } else {
      this->log_WARNING_LO_FixRefused(product.frame_id, refusal);
    }
    m_fix_refusal = refusal;
  }
  if (refusal != Refusal::NONE) return;
  const Covariance covariance(found.covariance_xx, found.covariance_xy, found.covariance_yy);
  const SunDirection sun(static_cast<SunSource::T>(found.sun.source), found.sun.angle_deg, found.sun.sign_known);
  const NavigationFix fix(stamp_of(product, found.warnings), Centroid(found.x, found.y, covariance), found.diameter,
                          sun);
  this->tlmWrite_Fix(fix);
  if (this->isConnected_fixOut_OutputPort(0)) this->fixOut_out(0, fix);
}

void MapClient::find_sites(const rubblemap::Product& product) {
  Fw::ParamValid valid;
  const F64 radius = this->paramGet_MINIMUM_RADIUS_PX(valid);
  consumers::LandingCircles found;
  const Refusal refusal = refusal_of(consumers::landing_circles(consumers::hazard_map(product), radius,
                                                                LandingCircles::SIZE, m_sockets->workspace, found));
  this->tlmWrite_SitesRefusal(refusal);
  if (refusal != m_sites_refusal) {
    if (refusal == Refusal::NONE) {
      this->log_ACTIVITY_LO_SitesUsable(product.frame_id);
    } else {
      this->log_WARNING_LO_SitesRefused(product.frame_id, refusal);
    }
    m_sites_refusal = refusal;
  }
  if (refusal != Refusal::NONE) return;
  LandingCircles circles;
  for (std::size_t i = 0; i < found.count; ++i) {
    const consumers::LandingCircle& circle = found.circles[i];
    circles[static_cast<U32>(i)].set(circle.x, circle.y, circle.radius, circle.worst_probability);
  }
  const LandingSites sites(stamp_of(product, found.warnings), static_cast<U32>(found.count), found.complete, circles);
  this->tlmWrite_Sites(sites);
  if (this->isConnected_sitesOut_OutputPort(0)) this->sitesOut_out(0, sites);
}

void MapClient::write_counts() {
  const rubblemap::ReceiverStatistics& statistics = m_sockets->receiver.statistics();
  rubblemap::TopicStatistics all;
  for (const rubblemap::TopicStatistics& topic : statistics.topics) {
    all.received += topic.received;
    all.lost += topic.lost;
    all.skipped += topic.skipped;
    all.restarts += topic.restarts;
  }
  const std::uint64_t malformed = statistics.all_malformed();
  if (all.restarts > m_restarts) this->log_WARNING_LO_ServiceRestarted();
  if (all.lost > m_lost) this->log_WARNING_LO_ProductsLost(all.lost - m_lost);
  if (malformed > m_malformed) {
    this->log_WARNING_HI_ProductsMalformed(malformed - m_malformed, Fw::LogStringArg(m_sockets->receiver.last_error()));
  }
  m_restarts = all.restarts;
  m_lost = all.lost;
  m_malformed = malformed;
  this->tlmWrite_Received(all.received);
  this->tlmWrite_Lost(all.lost);
  this->tlmWrite_Skipped(all.skipped);
  this->tlmWrite_Malformed(malformed);
  this->tlmWrite_Restarts(all.restarts);
  this->tlmWrite_CommandsSent(m_sockets->commander.statistics().sent);
  this->tlmWrite_CommandsTimedOut(m_sockets->commander.statistics().timed_out);
}

}  // namespace Rubblemap
