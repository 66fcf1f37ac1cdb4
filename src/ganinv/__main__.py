"""``python -m ganinv``: the same as the command ``ganinv``."""

from .cli import main

if __name__ == "__main__":
    main()
