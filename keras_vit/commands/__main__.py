"""`python -m keras_vit.commands COMMAND`."""

from keras_vit.commands import main

main()
