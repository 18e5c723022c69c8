"""What a training would take on chips that need not be here.

Nothing but the command `plan` enters.
"""
