"""``python -m jaxtune``: the command line."""

from jaxtune.cli import main

if __name__ == "__main__":
    main(prog_name="jaxtune")
