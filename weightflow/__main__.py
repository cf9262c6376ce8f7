"""`python -m weightflow`, and the command `weightflow`."""

from weightflow.stopping import listen


def main() -> None:
    """Run the command line."""
    listen()  # first of all: the imports below take a second, in which Ctrl-C may be pressed too

    from weightflow.cli import app
    from weightflow.cli.running import run

    run(app)


if __name__ == "__main__":
    main()
