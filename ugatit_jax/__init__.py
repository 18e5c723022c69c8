"""U-GAT-IT (Kim et al., ICLR 2020): unpaired image-to-image translation in JAX and Flax."""

__version__ = "0.1.0"
