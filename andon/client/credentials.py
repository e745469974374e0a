"""How a client shows who it is to a node's RPC: an API key, a certificate, a CA of its own."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from andon.client.key_file import read_secret
from andon.core.errors import Code, InvalidInput

API_KEY_BYTES_MAX = 512
API_KEY_FILE, CA_FILE = "ANDON_API_KEY_FILE", "ANDON_CA_FILE"
CERTIFICATE_FILE, CERTIFICATE_KEY_FILE = "ANDON_CLIENT_CERT_FILE", "ANDON_CLIENT_KEY_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Empty fields mean: no such thing. The key never appears in `repr`."""

    api_key: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    certificate_key_file: str = ""

    def __repr__(self) -> str:
        return f"Credentials(api_key={'set' if self.api_key else 'none'}, ca_file={self.ca_file!r})"

    @classmethod
    def of_environment(cls) -> Credentials:
        """What ANDON_API_KEY_FILE, ANDON_CA_FILE, ANDON_CLIENT_CERT_FILE and _KEY_FILE name.

        Raises:
            InvalidInput: BAD_KEY if the key's file may be read by others.
        """
        name = os.environ.get(API_KEY_FILE)
        key = read_secret(Path(name), API_KEY_BYTES_MAX).decode("utf-8", "replace") if name else ""
        return cls(
            api_key=key.strip(),
            ca_file=os.environ.get(CA_FILE, ""),
            certificate_file=os.environ.get(CERTIFICATE_FILE, ""),
            certificate_key_file=os.environ.get(CERTIFICATE_KEY_FILE, ""),
        )

    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def tls(self) -> ssl.SSLContext | None:
        """TLS settings; None for the system's.

        Raises:
            InvalidInput: BAD_CONFIG if a file is not what it should be.
        """
        if not self.ca_file and not self.certificate_file:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.certificate_key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(Code.BAD_CONFIG, f"TLS files of the client: {error}") from None
        return context
