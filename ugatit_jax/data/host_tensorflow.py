"""TensorFlow, kept off the accelerators: they are JAX's, and it would take all their memory."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # counts only before the import
import tensorflow as tf

tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")
