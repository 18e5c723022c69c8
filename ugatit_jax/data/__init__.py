"""Pictures: where they come from, files to arrays, and the endless stream of training batches.

Nothing here knows networks or devices; `feed_tensorflow` alone, and TFDS sets, import TensorFlow.
"""
