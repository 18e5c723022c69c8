"""Pictures: where they come from, files to arrays, and the endless stream of training batches.

Nothing here knows networks or devices; `input_pipeline` alone, and TFDS sets, import TensorFlow.
"""
