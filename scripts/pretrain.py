"""`keras-vit pretrain`, from a checkout."""

from keras_vit_command import run

if __name__ == "__main__":
    run("pretrain")
