module MapDeployment {

  module Default {
    constant QUEUE_SIZE = 20
    constant STACK_SIZE = 64 * 1024
  }

  # ----------------------------------------------------------------------
  # Active components
  # ----------------------------------------------------------------------

  instance fastGroup: Svc.ActiveRateGroup base id 0x0100 \
    queue size Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 120

  instance slowGroup: Svc.ActiveRateGroup base id 0x0180 \
    queue size Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 119

  instance cmdDisp: Svc.CommandDispatcher base id 0x0200 \
    queue size Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 101

  instance eventLogger: Svc.ActiveLogger base id 0x0300 \
    queue size 2 * Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 98

  instance tlmSend: Svc.TlmChan base id 0x0400 \
    queue size Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 97

  instance prmDb: Svc.PrmDb base id 0x0500 \
    queue size Default.QUEUE_SIZE \
    stack size Default.STACK_SIZE \
    priority 96

  @ Decoding a product takes tens of kilobytes of stack
  instance maps: Rubblemap.MapClient base id 0x1000 \
    queue size Default.QUEUE_SIZE \
    stack size 4 * Default.STACK_SIZE \
    priority 90

  # ----------------------------------------------------------------------
  # Queued and passive components
  # ----------------------------------------------------------------------

  instance $health: Svc.Health base id 0x2000 \
    queue size 25

  instance comm: Drv.TcpClient base id 0x4000

  instance downlink: Svc.Framer base id 0x4100

  instance uplink: Svc.Deframer base id 0x4200

  instance commBuffers: Svc.BufferManager base id 0x4300

  instance fatalAdapter: Svc.AssertFatalAdapter base id 0x4400

  instance fatalHandler: Svc.FatalHandler base id 0x4500

  instance posixTime: Svc.PosixTime base id 0x4600

  instance rateGroupDriver: Svc.RateGroupDriver base id 0x4700

  instance textLogger: Svc.PassiveTextLogger base id 0x4800

  instance timer: Svc.LinuxTimer base id 0x4900

}
