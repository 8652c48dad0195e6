module Rubblemap {

  @ A client of the Rubblemap service: receives maps, makes a navigation fix and landing circles of them, and passes
  @ commands on. Active, so that a search for circles holds up no rate group.
  active component MapClient {

    # ----------------------------------------------------------------------
    # Ports
    # ----------------------------------------------------------------------

    @ Once per cycle: takes in products and replies. A cycle that comes while one is under way may be dropped.
    async input port schedIn: Svc.Sched drop

    async input port pingIn: Svc.Ping

    output port pingOut: Svc.Ping

    @ The fix of the newest navigation product, unless it was refused
    output port fixOut: Fix

    @ Landing circles of the newest hazard product, unless it was refused
    output port sitesOut: Sites

    command recv port cmdIn
    command reg port cmdRegOut
    command resp port cmdResponseOut
    event port logOut
    text event port logTextOut
    telemetry port tlmOut
    time get port timeCaller
    param get port prmGetOut
    param set port prmSetOut

    # ----------------------------------------------------------------------
    # Parameters
    # ----------------------------------------------------------------------

    @ Least radius of a landing circle, sensor pixels
    param MINIMUM_RADIUS_PX: F64 default 4.0

    @ The service's state is asked for once in so many cycles; 0: never
    param STATUS_PERIOD: U32 default 10

    # ----------------------------------------------------------------------
    # Commands of the component
    # ----------------------------------------------------------------------

    @ Open the sockets, after they could not be opened at the start
    async command OPEN

    @ Tell the value of one of the service's parameters in an event
    async command TELL_PARAMETER(
                                  name: string size 40 @< Of a parameter, or "mode"
                                )

    # ----------------------------------------------------------------------
    # Commands that are passed on; they complete with the service's reply
    # ----------------------------------------------------------------------

    async command NO_OP

    @ Ask for the service's state now
    async command GET_STATUS

    @ Set one parameter
    async command SET_PARAMETER(
                                 name: string size 40 @< Of the parameter
                                 value: string size 40 @< true, false, a number, or else a text
                               )

    @ Choose the networks that run
    async command SET_MODE(
                            mode: string size 40 @< One of the bundle's modes
                          )

    @ Copy a bundle in, verify it, and stage it
    async command LOAD_BUNDLE(
                               path: string size 40 @< Of a folder inside the configured folder of bundles
                             )

    async command VALIDATE_BUNDLE

    async command ACTIVATE_BUNDLE

    async command SELF_TEST

    async command RESET_COUNTERS

    @ Leave the safe state
    async command RECOVER

    @ Stop the service
    async command SHUTDOWN

    # ----------------------------------------------------------------------
    # Events
    # ----------------------------------------------------------------------

    event Opened(
                  products: string size 80 @< Endpoint
                  commands: string size 80 @< Endpoint
                ) \
      severity activity high \
      format "Subscribed to maps at {}, commands to {}"

    event NotOpened(reason: string size 120) \
      severity warning high \
      format "Sockets not opened: {}"

    event ServiceAnswers($state: ServiceState) \
      severity activity high \
      format "The service answers, {}"

    event ServiceStateChanged(previous: ServiceState, current: ServiceState) \
      severity activity high \
      format "The service went from {} to {}"

    event ServiceSilent \
      severity warning high \
      format "The service does not answer"

    event ServiceRestarted \
      severity warning low \
      format "The numbers of products began anew: the service has started again"

    event ProductsLost(
                        count: U64 @< Since the last cycle
                      ) \
      severity warning low \
      format "{} products were lost"

    event ProductsMalformed(
                             count: U64 @< Since the last cycle
                             reason: string size 120 @< Of the last one
                           ) \
      severity warning high \
      format "{} products broke the contract: {}"

    event FixRefused(frame_id: U64, refusal: Refusal) \
      severity warning low \
      format "No fix from frame {} on: {}"

    event FixUsable(frame_id: U64) \
      severity activity low \
      format "Fixes from frame {} on"

    event SitesRefused(frame_id: U64, refusal: Refusal) \
      severity warning low \
      format "No landing circles from frame {} on: {}"

    event SitesUsable(frame_id: U64) \
      severity activity low \
      format "Landing circles from frame {} on"

    event CommandAnswered(
                           $command: string size 40 @< As the service names it
                           code: string size 40
                         ) \
      severity activity low \
      format "{}: {}"

    event CommandFailed(
                         $command: string size 40 @< As the service names it
                         code: string size 40
                         message: string size 120
                       ) \
      severity warning low \
      format "{}: {}: {}"

    event CommandNotSent(
                          $command: string size 40
                          reason: string size 120
                        ) \
      severity warning low \
      format "{} was not sent: {}"

    event CommandTimedOut($command: string size 40) \
      severity warning low \
      format "{}: no reply came in time"

    event ParameterTold(name: string size 40, value: string size 40) \
      severity activity high \
      format "{} is {}"

    # ----------------------------------------------------------------------
    # Telemetry
    # ----------------------------------------------------------------------

    @ The newest fix
    telemetry Fix: NavigationFix

    @ What the newest navigation product was refused for
    telemetry FixRefusal: Refusal

    @ The newest landing circles
    telemetry Sites: LandingSites

    @ What the newest hazard product was refused for
    telemetry SitesRefusal: Refusal

    @ Verified products, of all topics, since the sockets were opened; so the next four
    telemetry Received: U64 update on change

    telemetry Lost: U64 update on change

    @ Replaced by newer ones before they were taken
    telemetry Skipped: U64 update on change

    telemetry Malformed: U64 update on change

    telemetry Restarts: U64 update on change

    telemetry CommandsSent: U64 update on change

    telemetry CommandsTimedOut: U64 update on change

    @ From here on as the service's status says
    telemetry ServiceState: ServiceState update on change

    telemetry UptimeS: F64

    telemetry FramesReceived: U64 update on change

    telemetry FramesProcessed: U64 update on change

    telemetry WorkerRestarts: U64 update on change

    @ 99 % of the last frames took no longer, from the frame's arrival to its product, ms
    telemetry LatencyP99Ms: F64

  }

}
