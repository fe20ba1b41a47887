"""The program's flags, one file a subject: from the command line and flag files to one frozen Config."""

from cmo_tf.config.config import MODES, SUBJECTS, Config, define, parse

__all__ = ["MODES", "SUBJECTS", "Config", "define", "parse"]
