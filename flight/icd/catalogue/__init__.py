"""The catalogue: everything that has a name on the wire, each declared once.

docs/icd.md and flight/gnc/include/rubblemap/icd.hpp are written from it, and from the limits in flight.icd.limits, by
`python -m flight.icd.document --write`.
"""

from flight.icd.catalogue.arguments import Argument
from flight.icd.catalogue.commands import COMMANDS, REPLY_CODES, CommandDefinition, ReplyCode, check_arguments
from flight.icd.catalogue.events import EVENTS, EventDefinition
from flight.icd.catalogue.frames import REJECTION_REASONS
from flight.icd.catalogue.products import (
    CLASS_ROLES,
    FLAGS,
    PLANES,
    STATUSES,
    TOPIC_PLANES,
    Consumer,
    FlagDefinition,
    PlaneDefinition,
    flags_forbidding,
    worst_status,
)
from flight.icd.catalogue.sockets import SOCKETS, SocketDefinition
from flight.icd.catalogue.states import STATES

__all__ = [
    "CLASS_ROLES",
    "COMMANDS",
    "EVENTS",
    "FLAGS",
    "PLANES",
    "REJECTION_REASONS",
    "REPLY_CODES",
    "SOCKETS",
    "STATES",
    "STATUSES",
    "TOPIC_PLANES",
    "Argument",
    "CommandDefinition",
    "Consumer",
    "EventDefinition",
    "FlagDefinition",
    "PlaneDefinition",
    "ReplyCode",
    "SocketDefinition",
    "check_arguments",
    "flags_forbidding",
    "worst_status",
]
