"""The chat of the team's own people, by incoming webhooks of Slack and of Microsoft Teams."""

from dataclasses import dataclass
from typing import Any

from crm.channels.answers import HttpAnswer
from crm.channels.base import Delivered, DeliveryResult
from crm.channels.letters import Letter
from crm.channels.wire import post_json, refusal

LONGEST = 3_000


@dataclass(frozen=True, slots=True)
class Chat:
    """One room; its address is its secret."""

    address: str
    cards: bool = False
    many_at_once = True

    def deliver(self, letter: Letter) -> DeliveryResult:
        """Post one message; these services give it no id."""
        answer = post_json(self.address, self._body(letter), {})
        if not isinstance(answer, HttpAnswer):
            return answer
        if answer.accepted:
            return Delivered(reference="")
        words = answer.body[:200].decode("utf-8", "replace")
        return refusal(answer, who="The chat", words=words, shut=answer.status == 403)

    def _body(self, letter: Letter) -> dict[str, Any]:
        title, text = letter.title[:LONGEST], letter.text[:LONGEST]
        if not self.cards:
            return {"text": _plain(f"*{title}*\n{text}" if title else text)}
        blocks: list[dict[str, Any]] = [{"type": "TextBlock", "text": text, "wrap": True}]
        if title:
            blocks.insert(0, {"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": True})
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
            "body": blocks,
        }  # fmt: skip
        return {
            "type": "message",
            "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
        }


def _plain(text: str) -> str:
    """Slack reads <…> as links and calls, such as <!channel>: values of records must not call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
