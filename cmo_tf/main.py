"""Command line: `python -m cmo_tf.main --flagfile flags/NAME.cfg [--flag=value ...]`."""

import os
import sys
import tempfile

from cmo_tf.core.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Runs the program; returns its exit code: 0 done, 2 bad input, 128 + signal when stopped by one."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        from cmo_tf import config as configuration
        from cmo_tf.config import usage
        from cmo_tf.serving import flags as modes
        config, files, values = configuration.parse(arguments)
        if (text := usage.asked(values)) is not None:
            return usage.show(text)
        if values.show_flags:
            return usage.show("\n".join(config.arguments()) + "\n")
        modes.check(config, [name for name in vars(config) if values[name].present])
        return _run(config, files, arguments)
    except UserError as error:
        print(f"cmo_tf: {error}", *error.listing, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # not while training, which saves: see run.signals
        print("cmo_tf: interrupted; the same command starts or resumes it", file=sys.stderr)
        return 130


def _run(config, files, arguments):
    import_tensorflow()
    from cmo_tf.classifier.evaluator import accuracy_line
    from cmo_tf.run import finished, folder, run, signals
    from cmo_tf.serving import MODES
    _check_backend()
    try:
        if config.mode in MODES:
            return MODES[config.mode](config, files, arguments)
        if config.mode == "eval":
            if not config.run_dir:
                raise UserError("--mode=eval: name the run's folder, --run_dir=runs/NAME")
            # The run's own flags, with what stands on the command line (another --data_dir, say) in their place.
            found = finished.evaluate(config.run_dir, folder.read_config(config.run_dir, arguments))
        else:
            found = run.train(config, config.run_dir or folder.default_run_dir(files, config.seed))
    except signals.Stopped as stopped:
        print(f"cmo_tf: {stopped}", file=sys.stderr)
        return stopped.exit_code
    print(accuracy_line(found["accuracy"]))
    return 0


def import_tensorflow():
    """Imports TensorFlow with settings that it reads then (what the user has set stays), without its greetings.

    Its C++ part writes to stderr before any log level is heard; what it wrote is shown only if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Without AVX-512 TensorFlow leaves oneDNN off by itself and trains ResNet-32 1.4 to 1.7 times slower.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with tempfile.TemporaryFile() as greetings:
        stderr = os.dup(2)
        os.dup2(greetings.fileno(), 2)
        try:
            import tensorflow as tf
            tf.config.list_physical_devices()
        except Exception:
            greetings.seek(0)
            os.write(stderr, greetings.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _check_backend():
    import keras
    import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"KERAS_BACKEND={keras.backend.backend()}: the program needs the TensorFlow backend; "
                        "unset KERAS_BACKEND and look into ~/.keras/keras.json")
    if keras.config.image_data_format() != "channels_last":
        raise UserError("keras image_data_format is channels_first: the program needs channels_last; "
                        "set it in ~/.keras/keras.json")


def entry() -> None:
    """The `cmo-tf` command."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
