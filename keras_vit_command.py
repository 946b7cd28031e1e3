"""The entry of `keras-vit`.

It stands outside the package, whose import takes the seconds that Keras takes: while this module is
there, `import keras_vit` leaves Keras to the command, which reads its flags first.
"""


def main() -> None:
    """Runs `keras-vit COMMAND [FLAGS]`."""
    from keras_vit.commands import main

    main()


def run(name: str) -> None:
    """Runs one command with the flags of this process.

    Args:
        name: of the command.
    """
    from keras_vit.commands import run

    run(name)


if __name__ == "__main__":
    import keras_vit_command  # the name that `keras_vit` looks for

    keras_vit_command.main()
