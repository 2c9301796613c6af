"""TLS of a server: its certificate, and whose certificates callers must show."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import SettingsError


@dataclass(frozen=True)
class Tls:
    """PEM files."""

    certificate: Path
    """The server's, and those between it and its root."""
    key: Path
    clients_ca: Path | None = None
    """Callers must show a certificate that this signed; None asks for none."""

    def server_context(self) -> ssl.SSLContext:
        """For TLS 1.2 and later. Raises SettingsError naming the files that do not do."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.clients_ca is not None:
                context.load_verify_locations(self.clients_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as exc:  # ssl.SSLError is one
            raise _unusable((self.certificate, self.key, self.clients_ca), exc) from exc
        return context


def client_context(ca: Path | None, own: Tls | None = None) -> ssl.SSLContext:
    """For calls to a server that `ca` vouches for, else the system's; `own` is shown where asked.

    Raises SettingsError.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        if own is not None:
            context.load_cert_chain(own.certificate, own.key)
    except OSError as exc:
        mine = (own.certificate, own.key) if own else ()
        raise _unusable((ca, *mine), exc) from exc
    return context


def _unusable(files: Iterable[Path | None], error: OSError) -> SettingsError:
    named = ", ".join(str(file) for file in files if file)
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return SettingsError(
        f"No TLS with {named}: {reason}. They must be PEM files that this process may read, "
        "the key without a passphrase and that of the certificate."
    )
