"""What is done with a finished run, or before one: `--mode=predict`, `export` and `preview`. Nothing heavy is imported
by it."""

from cmo_tf.core.registry import Registry

__all__ = ["MODES"]

# Each entry is a function (config, files, arguments) -> exit code.
MODES = Registry("mode", {
    "inspect": "cmo_tf.inspection.command:run",
    "predict": "cmo_tf.serving.predict:run",
    "export": "cmo_tf.serving.export:run",
    "preview": "cmo_tf.serving.preview:run",
}, flag="mode")
