"""What is trained: `Method`, the seam; one file for each method; the terms of their objectives.

Nothing here knows files, flags, how a mesh is made, or the loop that trains.
"""
