"""Facts that apps above listen to, since this one never imports them."""

from django.dispatch import Signal

# A person settled an uncertain message. Sends `message` (Message), `decision` ("accept" or "resend") and
# `user`, `now` (datetime); sent inside the transaction that stores the decision.
message_decided = Signal()

# Something happened to a sent message for the first time. Sends `message` (Message) and `event` (MessageEvent), inside
# the transaction that stores it.
message_happened = Signal()

# An address gets mail of a topic from now on. Sends `team_id`, `address` and `topic`, inside the transaction that
# stores it.
topic_subscribed = Signal()

# Mail of this app itself waits to leave; sent after the commit that stores it, so that it leaves at once.
mail_waits = Signal()
# Devices of records were registered or forgotten. Sends `owners` (a set of team id, content type id, record id) and
# `lost` (a set of tokens that are gone), inside the transaction that stores it.
devices_changed = Signal()

# Addresses get no more mail from now on. Sends `addresses` (a list of team id, address, topic) and `reason`, inside
# the transaction that stores it.
addresses_suppressed = Signal()
