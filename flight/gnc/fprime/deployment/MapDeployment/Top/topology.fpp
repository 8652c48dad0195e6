module MapDeployment {

  enum Ports_RateGroups {
    fast
    slow
  }

  topology MapDeployment {

    instance $health
    instance cmdDisp
    instance comm
    instance commBuffers
    instance downlink
    instance eventLogger
    instance fastGroup
    instance fatalAdapter
    instance fatalHandler
    instance maps
    instance posixTime
    instance prmDb
    instance rateGroupDriver
    instance slowGroup
    instance textLogger
    instance timer
    instance tlmSend
    instance uplink

    command connections instance cmdDisp
    event connections instance eventLogger
    health connections instance $health
    param connections instance prmDb
    telemetry connections instance tlmSend
    text event connections instance textLogger
    time connections instance posixTime

    connections FaultProtection {
      eventLogger.FatalAnnounce -> fatalHandler.FatalReceive
    }

    connections RateGroups {
      timer.CycleOut -> rateGroupDriver.CycleIn

      rateGroupDriver.CycleOut[Ports_RateGroups.fast] -> fastGroup.CycleIn
      fastGroup.RateGroupMemberOut[0] -> maps.schedIn
      fastGroup.RateGroupMemberOut[1] -> tlmSend.Run

      rateGroupDriver.CycleOut[Ports_RateGroups.slow] -> slowGroup.CycleIn
      slowGroup.RateGroupMemberOut[0] -> $health.Run
      slowGroup.RateGroupMemberOut[1] -> commBuffers.schedIn
    }

    connections Downlink {
      tlmSend.PktSend -> downlink.comIn
      eventLogger.PktSend -> downlink.comIn

      downlink.framedAllocate -> commBuffers.bufferGetCallee
      downlink.framedOut -> comm.$send
      comm.deallocate -> commBuffers.bufferSendIn
    }

    @ Commands; files are not taken
    connections Uplink {
      comm.allocate -> commBuffers.bufferGetCallee
      comm.$recv -> uplink.framedIn
      uplink.framedDeallocate -> commBuffers.bufferSendIn

      uplink.bufferAllocate -> commBuffers.bufferGetCallee
      uplink.bufferDeallocate -> commBuffers.bufferSendIn
      uplink.comOut -> cmdDisp.seqCmdBuff
      cmdDisp.seqCmdStatus -> uplink.cmdResponseIn
    }

  }

}
