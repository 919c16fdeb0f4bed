"""The update stage: what is learnt from a turn and from a session, off the path of the reply."""
