"""One training run, from flags to report: the same command starts it, resumes it, and leaves a finished one alone."""

import dataclasses
import os
import time

from cmo_tf.classifier import build
from cmo_tf.classifier.evaluator import accuracy_line
from cmo_tf.distribution import data_service_watch, strategies, workers
from cmo_tf.models.weights.pretrained import IMAGENET
from cmo_tf.monitoring import memory, tensorboard
from cmo_tf.monitoring.progress import Progress
from cmo_tf.pipeline import unreadable
from cmo_tf.report import results
from cmo_tf.report.report import write_report
from cmo_tf.run import (
    calibration,
    classes,
    early_stop,
    features,
    folder,
    init_from,
    panel,
    repeatable,
    resume,
    rollback,
    signals,
    split_file,
    stages,
    state,
    summary,
    versions,
)
from cmo_tf.run import data as run_data
from cmo_tf.run.checkpoint import CheckpointStore
from cmo_tf.run.recorder import Recorder


def train(config, run_dir: str) -> dict:
    """Trains (or resumes, or finds finished) the run of a Config in a folder; returns its results.

    Raises:
        UserError: bad input. signals.Stopped: a signal came; the run is saved.
    """
    repeatable.make_repeatable(config)
    strategies.strategy(config)  # workers meet before anything else computes
    with workers.watched(config), folder.writing(run_dir, workers.is_chief(config)) as written:
        run = Run(config, run_dir, written)
        with unreadable.named(run), data_service_watch.watched(config.data_service):
            return run.go()


class Run:
    """The state of one run and the stages it goes through. `step` counts the steps of the stage it is in."""

    def __init__(self, config, run_dir, written=None):
        """`written` is where this process writes, if that is not the run's folder: a worker that is not the chief."""
        self.whole, self.read_dir, self.run_dir = config, run_dir, written or run_dir
        self.chief = workers.is_chief(config)
        self.store = CheckpointStore(os.path.join(run_dir, "checkpoints"))
        self.step, self.history, self.best, self.resumed_from = 0, [], None, []
        self.metric_state, self.seconds_before, self.found = None, 0.0, {}
        self.training_seconds, self.training_images = 0.0, 0
        self.due_steps, self.replicas, self.rollback = [0], [], None
        self.began = time.monotonic()

    def go(self) -> dict:
        """The whole run."""
        if self.chief:
            self.store.sweep()
        workers.wait(self.whole)  # all find the same checkpoints
        checkpoint = self.store.load()
        self._agree(checkpoint)
        finished = resume.finished(self, checkpoint)
        if finished:
            return finished
        earlier = split_file.read(self.read_dir) if checkpoint else None
        self.data = self.pictures = run_data.load(self.whole, earlier)
        calibration.check(self.whole, self.data)
        workers.agree(self.whole, "split of --data_dir", [f"fingerprint {self.data.fingerprint[:12]}"])
        number = self.begin(checkpoint)
        if self.chief and not (checkpoint and split_file.exists(self.run_dir)):
            self.data = split_file.write(self.run_dir, self.data)
            self.pictures = dataclasses.replace(self.pictures, kept=self.data.kept)
        folder.write_flags(self.run_dir, self.whole)
        self.progress = Progress(os.path.join(self.run_dir, "log.txt"), self.total_steps, self.global_step,
                                 quiet=not self.chief)
        try:
            self._introduce(checkpoint)
            with signals.listening() as request:
                self.stop = workers.stop_request(self.whole, request)
                while number is not None:
                    try:
                        number = self._go_through(number)
                    except rollback.NotFinite as found:
                        number = rollback.go_back(self, found)
            # A stage without steps may be left after the last one.
            if self.stop.number is not None and (self.leg is not self.legs[-1] or self.global_step < self.total_steps):
                self.progress.line(f"stopped by a signal at step {self.global_step}; saved")
                raise signals.Stopped(self.stop.number)
            return self._finish() if self.chief else self._follow()
        finally:
            self.progress.close()

    def begin(self, checkpoint) -> int:
        """Builds the leg that a checkpoint is in, or the first one, and puts its state back; the leg's number."""
        if checkpoint:
            self.rollback = checkpoint[1].get("rollback", self.rollback)
        factor = self.rollback["rate_factor"] if self.rollback else 1.0
        self.legs = stages.legs(self.whole, len(self.data.train), factor)
        number = resume.leg_of(self, checkpoint[1]) if checkpoint else 0
        previous = init_from.network(self.whole, self.data)
        for leg in self.legs[:number]:  # their weights come with the checkpoint; what counts is their shape
            self.data = self.data_of(leg)
            previous = leg.stage.classifier(build, leg.config, self.data, previous).inner
        self._enter(number, previous)
        self.history, self.best, self.metric_state, self.found, self.due_steps = [], None, None, {}, [0]
        self.replicas = [[0, strategies.replicas(self.whole)]]
        if checkpoint:
            resume.restore(self, *checkpoint[:2])
        return number

    def _agree(self, checkpoint):
        """Flags and checkpoint are those of all workers."""
        workers.agree(self.whole, "flags", self.whole.arguments())
        found = f"checkpoint of step {checkpoint[1]['step']}" if checkpoint else "no checkpoint"
        seen = "present" if os.path.exists(os.path.join(self.read_dir, ".lock")) else "absent"
        workers.agree(self.whole, f"--run_dir={self.read_dir} (all workers need the same storage there)",
                      [f"folder {seen}", found])

    def _enter(self, number, previous):
        """Builds what the leg needs."""
        self.leg = self.legs[number]
        self.config, self.timeline, self.step = self.leg.config, self.leg.timeline, 0
        self.data = self.data_of(self.leg)
        self.model = self.leg.stage.classifier(build, self.config, self.data, previous)
        self.evaluator = build.evaluator(self.config, self.data.counts, self.model.network, self.model.loss)

    def data_of(self, leg):
        """What a leg trains on: the pictures or their features."""
        if getattr(self.data, "trunk", None) is not None and leg.config.train == "head":
            return self.data
        return features.in_place_of(leg.config, self.pictures)

    def _go_through(self, number):
        """Trains from leg `number` on to the last, or to a stop request. NotFinite as `finite` says."""
        while True:
            if not self.timeline.total_steps:
                self.save()  # no step will; what finishes such a stage is done again on resuming
            self._fit()
            if self.step < self.timeline.total_steps and not self.ended:
                return
            found = self.leg.stage.finish(build, self.config, self.data, self.model) or {}
            self.found = {**self.found, **found}
            for name, value in found.items():
                self.progress.line(f"{self.leg.stage.name}: {name} {value}")
            number += 1
            strategies.settle(self.config, self.model.network)
            if number == len(self.legs) or self.stop.number is not None:
                return
            self._enter(number, self.model.inner)
            self.best = None  # the best epoch is one of the last stage
            self.progress.line(f"stage {number + 1} of {len(self.legs)}: {self.leg.stage.name}")
            for text in self.timeline.warnings():
                self.progress.line(f"warning: {text}")

    @property
    def ended(self) -> bool:
        """Whether `--early_stop` has ended it."""
        return early_stop.due(self.whole, self.history)

    @property
    def global_step(self) -> int:
        """Steps done over all stages."""
        return self.leg.first_step + self.step

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return self.legs[-1].first_step + self.legs[-1].timeline.total_steps

    def save(self, partial=False, due=True) -> None:
        """A checkpoint of this step, see `resume.save`."""
        resume.save(self, partial, due)

    @property
    def seconds(self) -> float:
        """Wall time of the run over all its sessions."""
        return self.seconds_before + time.monotonic() - self.began

    def images_up_to(self, step: int) -> int:
        """Images that the first `step` steps train on."""
        per_epoch, batch = self.timeline.steps_per_epoch, self.config.batch_size
        size = per_epoch * batch if self.config.drop_remainder else len(self.data.train)
        return step // per_epoch * size + min(step % per_epoch * batch, size)

    def write_history(self) -> None:
        """metrics.csv and TensorBoard, from the history alone: a resumed run writes no row twice."""
        results.write_history(self.run_dir, self.history)
        self.board.write(self.history)

    def _introduce(self, checkpoint):
        for text in summary.lines(self, checkpoint):
            self.progress.line(text)
        summary.write_skipped(self.run_dir, self.data.skipped)
        self.board = tensorboard.Board(os.path.join(self.run_dir, "tensorboard"), self.whole, self.data)
        self.publish()

    def publish(self) -> None:
        """metrics.csv and TensorBoard anew."""
        self.board.restart()
        if self.chief:
            panel.write(self.run_dir, self.whole, self.pictures, self.board)
        self.write_history()

    def _fit(self):
        """Keras' fit over what is left: the rest of a begun epoch first, then whole ones."""
        stage, config, per_epoch = self.leg.stage, self.config, self.timeline.steps_per_epoch
        callbacks = [Recorder(self), *stage.callbacks(build, config, self.data, self.timeline, self.model)]
        # A stop request, or --max_steps, may come before the first step.
        while self.step < self.timeline.total_steps and self.stop.number is None and not self.ended:
            epoch, done = divmod(self.step, per_epoch)
            stream = stage.stream(build, config, self.data, self.timeline, self.step)
            stream = strategies.per_replica(config, stream)
            self.model.fit(stream, initial_epoch=epoch, epochs=epoch + 1 if done else config.epochs,
                           steps_per_epoch=per_epoch - done, callbacks=callbacks, verbose=0)

    def _finish(self):
        """Predictions, model, reports and results, each written whole or not at all; the results last, since a run
        that has them is finished."""
        kept = early_stop.keep(self)
        workers.agree(self.whole, "trained weights", [state.fingerprint(self.model)])
        data, config = self.data, self.whole
        predictions, calibrated = calibration.predict(config, self.evaluator, data)
        results.write_predictions(self.run_dir, predictions)
        classes.save_model(self.run_dir, build.on_pixels(self.config, data, self.model), data.class_names)
        found = results.evaluate(predictions, data.counts, data.class_names, data.groups)
        rate = round(self.training_images / self.training_seconds, 1) if self.training_seconds else None
        found |= {
            "best": self.best and {k: self.best[k] for k in ("accuracy", "epoch", "split")},
            "epochs": self.leg.first_epoch + self.step // self.timeline.steps_per_epoch, "steps": self.global_step,
            "resumed_from_steps": self.resumed_from, "seed": config.seed, "split_fingerprint": data.fingerprint,
            "labels_fingerprint": data.labels_fingerprint,
            "test_fingerprint": data.kept.parts["test"].fingerprint(),
            "images_per_second": rate,
            "seconds": round(self.seconds, 3), "flags": vars(config) | {"run_dir": self.run_dir},
            "peak_rss_bytes": memory.peak_rss(),
            "replicas": self.replicas, "rollback": self.rollback,
            "versions": versions.versions(), **kept, **calibrated, "skipped_images": len(self.data.skipped),
        }
        if self.found:
            found["method"] = self.found
        if config.init_weights:
            found["pretrained"] = "ImageNet-1k" if config.init_weights == IMAGENET else config.init_weights
        self.board.finish(found["accuracy"])
        html, _ = write_report(self.run_dir, results.plain(found))
        results.write_results(self.run_dir, found)
        for value in calibrated.values():
            self.progress.line(calibration.line(value))
        self.progress.line(accuracy_line(found["accuracy"]))
        self.progress.line(f"report: {html}")
        workers.wait(self.whole)
        return results.read_results(self.run_dir)

    def _follow(self):
        """The end of a worker that is not the chief."""
        workers.agree(self.whole, "trained weights", [state.fingerprint(self.model)])
        workers.wait(self.whole)
        return results.read_results(self.read_dir)
