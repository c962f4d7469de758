"""A seal for what must not be read by accident: packed, masked by a key, with checksums.

This is a seal and no encryption. It keeps the truth of an exercise from being seen when a file is opened or searched,
and shows damage. It is home-made, the key can be handed on, and whoever has the program and guesses how a file was
made can make it again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap
import zlib
from collections.abc import Mapping
from itertools import count
from typing import Any

from b2b_sem.errors import DataError

__all__ = ["make_key", "normalize_key", "open_seal", "seal"]

_BEGIN, _END = "-----BEGIN SEALED TRUTH-----", "-----END SEALED TRUTH-----"
_VERSION = "1"
_WIDTH = 76
#: Bytes of a key that is made here: 80 bits, 16 letters.
_KEY_BYTES = 10


def make_key(*parts: object) -> str:
    """Return a key of 16 letters and digits in groups of four, the same for the same `parts`."""
    text = "\x1f".join(["b2b_sem lesson", *map(str, parts)])
    letters = base64.b32encode(hashlib.sha256(text.encode()).digest()[:_KEY_BYTES]).decode()
    return "-".join(textwrap.wrap(letters, 4))


def normalize_key(key: str) -> str:
    """Return a key without blanks, dashes and the difference of small and large letters.

    Raises
    ------
    DataError
        If nothing is left of it.
    """
    plain = "".join(c for c in key if c.isalnum()).upper()
    if not plain:
        raise DataError("the key is empty", hint="use at least a few letters or digits")
    return plain


def seal(content: Mapping[str, Any], key: str, note: str = "") -> str:
    """Return `content`, which must be plain JSON types, as sealed text.

    Parameters
    ----------
    content : mapping
    key : str
        What opens it; blanks, dashes and small or large letters make no difference.
    note : str
        Lines that anybody may read, put in front.
    """
    packed = zlib.compress(json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False).encode(), 9)
    body = _masked(packed, key)
    check = _digest("key", normalize_key(key).encode(), packed)
    lines = textwrap.wrap(base64.b64encode(body).decode(), _WIDTH)
    head = [f"Version: {_VERSION}", f"Checksum: {_digest('body', body)}", f"Lock: {check}", ""]
    return "\n".join([*([note, ""] if note else []), _BEGIN, *head, *lines, _END]) + "\n"


def open_seal(text: str, key: str, file: object = None) -> dict[str, Any]:
    """Return the content of sealed text.

    Raises
    ------
    DataError
        If the text is not sealed content, was damaged, or the key is another one.
    """
    hint = "use the file as it was handed out"
    _, _, rest = text.replace("\r\n", "\n").partition(_BEGIN + "\n")
    inner, found, _ = rest.partition(_END)
    head, _, body = inner.partition("\n\n")
    fields = dict(line.partition(": ")[::2] for line in head.split("\n"))
    if not found or not body or {"Version", "Checksum", "Lock"} - set(fields):
        raise DataError("this is no sealed truth, or only a part of it", file=file, hint=hint)
    if fields["Version"] != _VERSION:
        raise DataError(
            f"the seal has version {fields['Version']}; this program opens version {_VERSION}",
            file=file,
            hint="open it with the version of b2b_sem that made it",
        )
    try:
        masked = base64.b64decode("".join(body.split()), validate=True)
    except ValueError:
        masked = b""
    if _digest("body", masked) != fields["Checksum"]:
        raise DataError("the sealed truth was changed or damaged: its checksum is wrong", file=file, hint=hint)
    packed = _masked(masked, key)
    if _digest("key", normalize_key(key).encode(), packed) != fields["Lock"]:
        raise DataError("this key does not open the seal", file=file, hint="the key was shown when the lesson was made")
    content: dict[str, Any] = json.loads(zlib.decompress(packed).decode())
    return content


def _masked(data: bytes, key: str) -> bytes:
    """Mask or unmask bytes by a stream that follows from the key."""
    plain = normalize_key(key).encode()
    stream = bytearray()
    for block in count():
        if len(stream) >= len(data):
            break
        stream += hashlib.sha256(plain + block.to_bytes(8, "big")).digest()
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))


def _digest(*parts: str | bytes) -> str:
    whole = b"\x1f".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(whole).hexdigest()[:32]
