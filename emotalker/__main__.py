"""``python -m emotalker`` is the command ``emotalker``."""

from emotalker.console.main import main

if __name__ == "__main__":  # lists start processes, which import this file
    main()
