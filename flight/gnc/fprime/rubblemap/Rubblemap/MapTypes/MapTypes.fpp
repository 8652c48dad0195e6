@ What guidance gets of maps: the results of the two consumers of rubblemap::gnc, with their names and units
@ (docs/gnc.md, "What the two consumers compute"). Positions and lengths are in sensor pixels, pixel centers at integers.
module Rubblemap {

  @ Circles that one answer can hold
  constant MOST_CIRCLES = 3

  @ State of the service, as housekeeping names it
  enum ServiceState : U8 {
    UNKNOWN @< Nothing was heard of it
    STARTING
    READY
    DEGRADED
    SAFE
  }

  @ Why there is no answer: rubblemap::consumers::Refusal, number for number
  enum Refusal : U8 {
    NONE
    INVALID_PRODUCT
    BODY_NOT_FOUND
    DARK
    EMPTY_SKY
    HIGH_ENTROPY
    NO_BODY
    NO_CERTAINTY
    DEGENERATE_AFFINE
    MALFORMED_INPUT
    MAP_TOO_LARGE
    INVALID_ARGUMENT
    NOT_A_BODY
    SATURATED
    BODY_SMALL
  }

  @ Where the direction of the sun comes from: rubblemap::consumers::SunSource, number for number
  enum SunSource : U8 {
    NONE
    ENTROPY
    TERMINATOR
  }

  # Of at most four members each: fpp-to-dict 2.2 puts more of them into the dictionary in another order than they have.

  @ The frame that a map answers
  struct FrameStamp {
    frame_id: U64
    capture_time_ns: U64
    @ Bit i is the product flag number i of the ICD
    warnings: U32
  }

  struct Covariance {
    xx: F64
    xy: F64
    yy: F64
  }

  struct Centroid {
    x: F64
    y: F64
    covariance: Covariance
  }

  @ Where the sun is in the image
  struct SunDirection {
    source: SunSource
    angle_deg: F64
    sign_known: bool
  }

  @ The largest body of a frame
  struct NavigationFix {
    frame: FrameStamp
    centroid: Centroid
    diameter: F64
    sun: SunDirection
  }

  @ A disc of certain, safe ground
  struct LandingCircle {
    x: F64
    y: F64
    radius: F64
    worst_probability: F64
  }

  array LandingCircles = [MOST_CIRCLES] LandingCircle

  @ Circles of a frame, the largest first; those from `count` on mean nothing
  struct LandingSites {
    frame: FrameStamp
    count: U32
    @ Whether the search came to its end
    complete: bool
    circles: LandingCircles
  }

  port Fix(fix: NavigationFix)

  port Sites(sites: LandingSites)

}
