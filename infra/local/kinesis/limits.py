"""What one shard takes and gives per second, as on AWS: past it, a call is throttled."""

from __future__ import annotations

from dataclasses import dataclass, field

RECORDS_PER_SECOND = 1000
BYTES_PER_SECOND = 1024 * 1024
READS_PER_SECOND = 5
READ_BYTES_PER_SECOND = 2 * 1024 * 1024
READ_BYTES = 10 * 1024 * 1024
"""What one GetRecords gives at most; what it gives beyond a second's share is owed."""


@dataclass
class Allowance:
    """Fills up over time. What is larger than it can ever be is given when it is full."""

    per_second: float
    most: float
    left: float
    seen: float

    def allows(self, amount: float, now: float) -> bool:
        self.left = min(self.most, self.left + (now - self.seen) * self.per_second)
        self.seen = now
        return self.left >= min(amount, self.most)

    def spend(self, amount: float) -> None:
        self.left -= amount


@dataclass
class Throttle:
    """The allowances of every shard."""

    _kept: dict[tuple[str, str, str], Allowance] = field(default_factory=dict)

    def take(
        self, stream: str, shard: str, now: float, **amounts: tuple[float, float, float]
    ) -> bool:
        """Whether a shard allows it; spends only if all of it is allowed.

        amounts: by name, what is spent, what comes back per second, and what can be saved up.
        """
        allowances = []
        for name, (amount, per_second, most) in amounts.items():
            kept = self._kept.setdefault(
                (stream, shard, name), Allowance(per_second, most, most, now)
            )
            allowances.append((kept, amount))
        if not all(kept.allows(amount, now) for kept, amount in allowances):
            return False
        for kept, amount in allowances:
            kept.spend(amount)
        return True

    def takes_record(self, stream: str, shard: str, now: float, size: int) -> bool:
        return self.take(
            stream,
            shard,
            now,
            records=(1, RECORDS_PER_SECOND, RECORDS_PER_SECOND),
            bytes=(size, BYTES_PER_SECOND, BYTES_PER_SECOND),
        )

    def takes_read(self, stream: str, shard: str, now: float) -> bool:
        return self.take(
            stream,
            shard,
            now,
            reads=(1, READS_PER_SECOND, READS_PER_SECOND),
            read_bytes=(0, READ_BYTES_PER_SECOND, READ_BYTES),
        )

    def owes_read(self, stream: str, shard: str, size: int) -> None:
        """What a read that was allowed turned out to give."""
        self._kept[stream, shard, "read_bytes"].spend(size)
