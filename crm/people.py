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


class ImpossibleManager(Exception):
    """Nobody manages themselves, the one above them, or somebody of another team."""


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


def require_possible_manager(*, member: Member, manager: Member | None) -> None:
    """Raise when this person cannot be the member's manager; needs a transaction.

    The members of the team are locked until it ends, so that two changes make no circle together.
    """
    if manager is None:
        return
    if manager.team_id != member.team_id:
        raise ImpossibleManager("A manager belongs to the same team.")
    if manager.pk == member.pk:
        raise ImpossibleManager("Nobody is their own manager.")
    above = _managers(manager.team_id)
    seen = set[int]()
    at: int | None = manager.pk
    while at is not None and at not in seen:
        if at == member.pk:
            raise ImpossibleManager(f"{manager.called} works under this person already: that would be a circle.")
        seen.add(at)
        at = above.get(at)


@transaction.atomic
def set_manager(*, member: Member, manager: Member | None) -> None:
    """Put a member under another; raises ImpossibleManager."""
    require_possible_manager(member=member, manager=manager)
    member.manager = manager
    member.save(update_fields=["manager"])


def _managers(team_id: int) -> dict[int, int | None]:
    """Who is whose manager in a team."""
    rows = Member.objects.filter(team_id=team_id).order_by("pk").select_for_update(no_key=True)
    return dict(rows.values_list("pk", "manager_id"))
