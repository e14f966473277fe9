"""Every random choice in training follows from the job's seed, the party and the round, so it can be repeated."""

from hashlib import sha256


def seed_for(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed of its own for each purpose, for instance a hospital and a round."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1
