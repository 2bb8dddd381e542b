"""``python -m headstart``: the command ``headstart``."""

from __future__ import annotations

from headstart.command.main import main

if __name__ == "__main__":
    main()
