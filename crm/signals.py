"""Facts that apps above listen to, since this one never imports them."""

from django.dispatch import Signal

# A person settled an uncertain message. Sends `message` (Message), `decision` ("accept" or "resend") and
# `user`, `now` (datetime); sent inside the transaction that stores the decision.
message_decided = Signal()

# Something happened to a sent message for the first time. Sends `message` (Message) and `event` (MessageEvent), inside
# the transaction that stores it.
message_happened = Signal()

# Addresses get no more mail from now on. Sends `addresses` (a list of team id, address, topic) and `reason`, inside
# the transaction that stores it.
addresses_suppressed = Signal()
