"""Keeps the secrets of a run out of what people and other programs read.

Which values are secret, and where they are looked for, is a rule of ours, explained in docs/secrets.md: a value of
`env` may as well be a schema's name, which stands rightly in every statement and must stay there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

if TYPE_CHECKING:  # a worker's first steps need redaction, and not what results are made of
    from dbt_temporal.domain.results import NodeExecutionResult

MASK = "***"
"""What stands in place of a secret, and of every value of a run's `env`, wherever it is shown."""
SECRET_ENV_PREFIX = "DBT_ENV_SECRET"
"""dbt's own mark of secret variables (dbt_common/constants.py, SECRET_ENV_PREFIX)."""
MIN_TEXT_LENGTH = 4
"""A shorter value stands in a message by chance more often than as the secret."""
MIN_DOCUMENT_LENGTH = 8
"""In a result's SQL and in what the adapter answered, a wrong hit costs more than in a message."""

_IN_NAME = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY")
_AS_WORD = frozenset({"PASS", "PWD", "KEY", "PAT", "KEYFILE"})
_HARMLESS_ENDINGS = frozenset({"ID", "NAME", "TYPE", "PATH", "FILE", "DIR", "COLUMN", "METHOD", "URL", "URI"})
"""A variable whose name ends so describes a secret, and is none: AWS_ACCESS_KEY_ID, TOKEN_URL, PARTITION_KEY_COLUMN."""

_SAID = frozenset({"message", "error", "invocation_command"})
"""Fields of a result, and of a run's arguments, that are texts for people."""


def names_a_secret(key: str) -> bool:
    """Whether a variable is secret by its name: DBT_ENV_SECRET_*, DB_PASSWORD, PGPASSWORD, API_KEY, ..."""
    name = key.upper()
    if name.startswith(SECRET_ENV_PREFIX):
        return True
    words = [word for word in re.split(r"[^A-Z]+", name) if word]
    if not words or words[-1] in _HARMLESS_ENDINGS:
        return False
    return any(part in name for part in _IN_NAME) or not _AS_WORD.isdisjoint(words)


def secret_values(
    env: Mapping[str, str], referenced: Collection[str] = (), worker_env: Mapping[str, str] | None = None
) -> frozenset[str]:
    """The values of a run that must not be shown.

    Args:
        env: the run's environment, references resolved.
        referenced: the keys of it that came by reference: always secret.
        worker_env: the worker's environment, of which DBT_ENV_SECRET_* are secret.
    """
    sure = {env[key] for key in env if key in referenced or key.startswith(SECRET_ENV_PREFIX)}
    sure |= {value for key, value in (worker_env or {}).items() if key.startswith(SECRET_ENV_PREFIX)}
    guessed = {value for key, value in env.items() if names_a_secret(key)}
    for value in env.values():
        guessed |= _passwords_in_url(value)
    # DB_NAME=shop beside DB_PASSWORD=shop: what another variable says openly cannot be hidden, only garbled.
    open_values = {value for key, value in env.items() if key not in referenced and not names_a_secret(key)}
    return frozenset(value for value in sure | (guessed - open_values) if value.strip())


def _passwords_in_url(value: str) -> set[str]:
    if "://" not in value:
        return set()
    try:
        password = urlsplit(value).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()


class Redactor:
    """Replaces known secrets by `***`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        kept = {secret.strip() for secret in secrets}
        self._in_texts = _pattern(secret for secret in kept if len(secret) >= MIN_TEXT_LENGTH)
        self._in_documents = _pattern(secret for secret in kept if len(secret) >= MIN_DOCUMENT_LENGTH)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to hide."""
        return self._in_texts is None

    def text(self, text: str) -> str:
        """A message or a log."""
        return text if self._in_texts is None else self._in_texts.sub(MASK, text)

    def code(self, code: str) -> str:
        """A statement: only values of at least 8 characters are looked for."""
        return code if self._in_documents is None else self._in_documents.sub(MASK, code)

    def code_file(self, content: bytes) -> bytes:
        """A file of a statement. Without a secret in it, it stays the object that it is."""
        text = content.decode("utf-8", errors="surrogateescape")
        redacted = self.code(text)
        return content if redacted == text else redacted.encode("utf-8", errors="surrogateescape")

    def result(self, result: NodeExecutionResult) -> NodeExecutionResult:
        """A node's result: its message, its compiled code and what the adapter answered."""
        if self._in_texts is None:
            return result
        return result.model_copy(
            update={
                "message": None if result.message is None else self.text(result.message),
                "compiled_code": None if result.compiled_code is None else self.code(result.compiled_code),
                "adapter_response": self._tree(result.adapter_response),
                "output": None if result.output is None else self.text(result.output),
                "messages": None if result.messages is None else self.text(result.messages),
                "rows": self._tree(result.rows),
            }
        )

    def document(self, content: bytes) -> bytes:
        """A JSON document, such as run_results.json. Without a secret in it, it stays as it is, byte for byte.

        Only what a run has said is redacted: messages, answers of the adapter, and the command line. Code, names and
        structure stay as dbt wrote them: programs compare and run them. What is not JSON is taken as a text.
        """
        if self._in_texts is None:
            return content
        text = content.decode("utf-8", errors="surrogateescape")
        if self._in_texts.search(text) is None:
            return content
        try:
            tree = json.loads(text)
        except ValueError:
            return self.text(text).encode("utf-8", errors="surrogateescape")
        redacted = self._document(tree)
        return content if redacted == tree else json.dumps(redacted).encode()

    def _document(self, tree: Any) -> Any:
        """A record, run_results.json, sources.json, or catalog.json."""
        if not isinstance(tree, Mapping):
            return tree
        redacted = self._entry(tree)
        for key in tree.keys() & {"result", "args"}:
            redacted[key] = self._entry(tree[key])
        for key in tree.keys() & {"results", "errors"}:
            redacted[key] = [self._entry(entry) for entry in tree[key]] if isinstance(tree[key], list) else tree[key]
        return redacted

    def _entry(self, entry: Any) -> Any:
        """A message, or what has some in its fields."""
        if isinstance(entry, str):
            return self.text(entry)
        if not isinstance(entry, Mapping):
            return entry
        redacted = {key: self.text(text) for key, text in entry.items() if key in _SAID and isinstance(text, str)}
        if "adapter_response" in entry:
            redacted["adapter_response"] = self._tree(entry["adapter_response"])
        return {**entry, **redacted}

    def _tree(self, node: Any) -> Any:
        if isinstance(node, str):
            return self.code(node)
        if isinstance(node, list):
            return [self._tree(item) for item in node]
        if isinstance(node, Mapping):
            return {key: self._tree(value) for key, value in node.items()}
        return node


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in _forms(secret)}
    if not forms:
        return None
    # The longest first: a secret may begin with another one.
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form))))


def _forms(secret: str) -> set[str]:
    """A secret as it may be written: in a URL, in JSON, in a Python literal, or line by line."""
    forms = {secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    # A key of many lines reaches the log as lines.
    forms |= {line for line in map(str.strip, secret.splitlines()) if len(line) >= MIN_DOCUMENT_LENGTH}
    return forms
