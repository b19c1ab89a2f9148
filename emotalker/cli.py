"""What the command-line scripts share: errors as one sentence, and where the logs go."""

from __future__ import annotations

import sys
from collections.abc import Callable

from emotalker.errors import EmoTalkerError


def run(main: Callable[[], None]) -> None:
    """Call ``main``; an error the user can mend becomes one sentence on stderr and exit status 1."""
    try:
        main()
    except EmoTalkerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; nothing was overwritten", file=sys.stderr)
        sys.exit(130)
