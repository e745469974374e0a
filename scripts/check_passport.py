"""Check the passport of an item, offline: its QR code and the genesis document are enough.

`python -m scripts.check_passport FILE --code URI --genesis genesis.json` prints what is proved and
exits 0 if the item is genuine, 1 if it is suspect or the passport proves nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from andon.client.factory.epcis import time_text
from andon.client.factory.passport import check, decode_passport
from andon.core.errors import AndonError
from andon.core.genesis import genesis_from_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and judge."""
    parser = argparse.ArgumentParser(prog="python -m scripts.check_passport", description=__doc__)
    parser.add_argument("passport", type=Path)
    parser.add_argument("--code", required=True, help="what the QR code says")
    parser.add_argument("--genesis", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        genesis = genesis_from_json(options.genesis.read_bytes())
        checked = check(genesis, decode_passport(options.passport.read_bytes()), options.code)
    except AndonError as error:
        print(f"nothing is proved: {error}")
        return 1
    for one in checked.items:
        when = "" if one.made_ms is None else f", made {time_text(one.made_ms)}"
        print(f"{'  ' * one.depth}{one.item}  by {one.maker or 'nobody known'}{when}")
        if one.suspect:
            print(f"{'  ' * one.depth}  SUSPECT: {one.suspect}")
        if one.certificate is not None:
            revoked = one.certificate["revoked"]
            state = f"REVOKED: {revoked!s}" if revoked else "certificate of conformity"
            print(f"{'  ' * one.depth}  {state}, stages {one.certificate['stages']!s}")
    print(f"proved at height {checked.height} and above, with the genesis document alone")
    return 0 if checked.is_genuine else 1


if __name__ == "__main__":
    raise SystemExit(main())
