"""Facts that apps above listen to, since this one never imports them."""

from django.dispatch import Signal

# A person settled an uncertain message. Sends `message` (Message), `decision` ("accept" or "resend") and
# `user`, `now` (datetime); sent inside the transaction that stores the decision.
message_decided = Signal()
