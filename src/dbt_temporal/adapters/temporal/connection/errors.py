"""Why a server could not be reached, in words, and what to do about it.

The SDK tells causes only as text: of its gRPC library (tonic), and of its TLS library (rustls). The words looked for
are theirs (temporalio 1.35); a text that is not known gets the general remedy.
"""

from __future__ import annotations

import re

from temporalio.service import RPCError, RPCStatusCode

_REFUSALS = (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED)

_CA = "Set TEMPORAL_TLS_SERVER_CA_CERT_PATH to the PEM file of the CA that signed the server's certificate."
_NAME = "The server's certificate is for another name: correct TEMPORAL_ADDRESS, or set TEMPORAL_TLS_SERVER_NAME."
_DATES = "The server's certificate is out of date (or this machine's clock is wrong): have it renewed."
_NO_CLIENT_CERT = "The server asks for a client certificate: set TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY."
_WRONG_CLIENT_CERT = (
    "The server does not accept the client certificate of TEMPORAL_TLS_CERT: check that it is signed by a CA that the "
    "server knows, that it is in date, and that TEMPORAL_TLS_KEY is its key."
)
_KEY = "Check TEMPORAL_API_KEY (or the client certificate) and that it may use this namespace."
_SPEAKS_NO_TLS = "The server does not speak TLS there: check TEMPORAL_ADDRESS, or turn TLS off (TEMPORAL_TLS=false)."
_PEM = "Check that TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY hold a certificate and its private key."
_CLOSED = (
    "The server closed the connection after the TLS handshake. If it asks for a client certificate, set "
    "TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY to one that is signed by a CA that it knows."
)
_MAYBE_TLS = "Check TEMPORAL_ADDRESS; if the server wants TLS, write the address as https://host:port."
_NOBODY = "Check TEMPORAL_ADDRESS, and that a server runs there (`dbt-temporal dev` starts one)."

# Each: words of which one must be in the cause, and the remedy.
_TLS_REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("unknownissuer", "unknown issuer", "causedascaendentity", "badsignature"), _CA),
    (("notvalidforname", "not valid for name"), _NAME),
    (("expired", "notvalidyet", "not valid yet"), _DATES),
    (("certificaterequired", "certificate required"), _NO_CLIENT_CERT),
    (("invalidcontenttype", "corrupt message", "wrong version", "wrongversion"), _SPEAKS_NO_TLS),
    (("invalid pem", "private key", "keymismatch", "inconsistentkeys", "certificateparseerror"), _PEM),
)
_LASTING = (_CA, _NAME, _DATES, _NO_CLIENT_CERT, _WRONG_CLIENT_CERT, _SPEAKS_NO_TLS, _PEM, _KEY)


def cause_of(error: BaseException) -> str:
    """The innermost cause alone, where the SDK gives it within nested errors in Rust's debug form."""
    text = str(error)
    causes: list[str] = re.findall(r'(?:message|error): "([^"]+)"', text)
    if causes:
        return causes[-1].rstrip(".")
    innermost = re.search(r".*(?:error: |Error\(Transport, )(\w.*)", text)
    return _to_its_end(innermost[1]) if innermost else text.rstrip(".")


def _to_its_end(text: str) -> str:
    """The text without the brackets that close what stood before it."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return text[:at].rstrip()
    return text


def remedy_for(error: BaseException, *, tls: bool, client_cert: bool) -> str:
    """What to do. `client_cert` says whether a client certificate is shown."""
    text = str(error).lower()
    if isinstance(error, RPCError) and error.status in _REFUSALS:
        return _KEY
    if any(word in text for word in ("unauthenticated", "permissiondenied", "permission denied")):
        return _KEY
    if tls:
        for words, remedy in _TLS_REMEDIES:
            if any(word in text for word in words):
                return remedy
        if "alert" in text:
            return _WRONG_CLIENT_CERT if client_cert else _NO_CLIENT_CERT
        return _CLOSED if "after connection" in text else _NOBODY
    if "refused" in text or "dns" in text or "lookup" in text or "resolve" in text:
        return _NOBODY
    return _MAYBE_TLS


def can_pass(error: BaseException, *, tls: bool, client_cert: bool) -> bool:
    """Whether waiting may help: it does not where the server answered and said no, or a certificate is wrong."""
    return remedy_for(error, tls=tls, client_cert=client_cert) not in _LASTING
