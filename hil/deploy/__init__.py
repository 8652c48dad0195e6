"""`hil deploy`: the service onto a board, over ssh, whole or not at all."""
