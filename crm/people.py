"""Adding people to a team, giving and taking roles."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from crm.models import Member, Role, Team

RANK = {role: rank for rank, role in enumerate(Role.values)}


class LastOwner(Exception):
    """A team must keep an owner."""


def may_grant(*, giver: str | None, role: str) -> bool:
    """Nobody gives more than they have; None is a superuser."""
    return giver is None or RANK[role] >= RANK[giver]


@transaction.atomic
def add_member(*, team: Team, email: str, role: str) -> tuple[Member, User | None]:
    """Put the person of an address into the team; returns the account too when it was made just now."""
    user, created = _person(email)
    member, _ = Member.objects.get_or_create(team=team, user=user, defaults={"role": role})
    if not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    return member, user if created else None


def _person(email: str) -> tuple[User, bool]:
    email = email.strip()
    found = User.objects.filter(Q(username__iexact=email) | Q(email__iexact=email)).order_by("pk").first()
    if found is not None:
        return found, False
    user = User(username=email.lower()[:150], email=email)
    user.set_unusable_password()
    user.save()
    return user, True


def invitation_path(user: Any) -> str:
    """Where a new person chooses a password; it works once and for three days."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("invitation", args=[uid, default_token_generator.make_token(user)])


def require_other_owner(member: Member) -> None:
    """Raise when taking this membership's role away would leave the team without an owner."""
    owners = Member.objects.filter(team_id=member.team_id, role=Role.OWNER).exclude(pk=member.pk)
    was_owner = Member.objects.filter(pk=member.pk, role=Role.OWNER).exists()
    if was_owner and not owners.filter(user__is_active=True).exists():
        raise LastOwner("A team needs an owner: make somebody else owner first.")
