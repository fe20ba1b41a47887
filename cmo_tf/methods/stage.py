"""A stage of training: what multi-stage methods are made of. The default one is ordinary training.

The trainer knows no method by name: it asks each stage for its flags, classifier, stream and callbacks, and hands on
the network. Stages are part of every checkpoint, so a run killed in its second stage resumes there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One stage. Subclass it and override what differs.

    Attributes:
        name: shown in history and log.
        flags: values that replace those of the run's Config during the stage (epochs, lr, sampler, mix, ...).
        trains: False for a stage without steps, which only builds its network and finishes it.

    The hooks get `build`, the module cmo_tf.classifier.build, so that methods need not import the trainer.
    """

    name: str = "train"
    flags: Mapping[str, object] = field(default_factory=dict)
    trains: bool = True

    def classifier(self, build, config, data, previous):
        """The compiled LongTailClassifier of the stage: by default of `previous`, or of a new network.

        `previous` is the inner network (normalised images -> logits) of the stage before, or of `--init_from`, or None.
        On resuming its weights are those of a fresh one, which the checkpoint replaces.
        """
        return build.classifier(config, data, previous)

    def stream(self, build, config, data, timeline, start_step):
        """The training stream from a step of the stage on."""
        return build.stream(config, data, timeline, start_step)

    def callbacks(self, build, config, data, timeline, model) -> list:
        """Callbacks that change training at epochs; pure functions of the epoch, as a resumed run starts them anew."""
        return build.callbacks(config, data.counts, timeline)

    def finish(self, build, config, data, model) -> dict | None:
        """What happens to the network when the stage's steps are done; repeatable from its last checkpoint. Returns
        what it found, name -> number or list, for the log and for `method` in results.json."""


def at_epochs(begin):
    """A Keras callback that calls `begin(epoch)` when an epoch begins."""
    import keras
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs=None: begin(epoch))


def stages_of(method, config) -> list[Stage]:
    """The stages of a registered method under a Config, those that `--train` adds included."""
    from cmo_tf.methods import pretrained
    return pretrained.stages(config, list(method.stages(config)) if method.stages else [Stage()])
