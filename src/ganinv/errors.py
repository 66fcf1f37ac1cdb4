"""The one exception a person ever sees."""


class GanInvError(Exception):
    """Something the user can put right. Its message is one clear sentence: what is wrong, in which file, and the cure."""
