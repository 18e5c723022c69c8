"""What all command lines share: the error that users see, and the folder for what can be had again.

Nothing here knows another room.
"""
