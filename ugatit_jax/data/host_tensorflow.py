"""TensorFlow, kept off the accelerators: they are JAX's, and it would take all their memory."""

import os

# Both count only before the import. TensorFlow tells everybody that it takes oneDNN's kernels, if
# it does: nothing here needs them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import tensorflow as tf

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")
