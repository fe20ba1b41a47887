"""One training run, from flags to report: the same command starts it, resumes it, and leaves a finished one alone."""

import os
import time

from cmo_tf.errors import UserError
from cmo_tf.evaluation import results
from cmo_tf.evaluation.report import write_report
from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import stages_of
from cmo_tf.training import (
    build,
    classes,
    course,
    distribute,
    early_stop,
    folder,
    init,
    introduce,
    memory,
    panel,
    repeatable,
    signals,
    state,
    tensorboard,
    unreadable,
    versions,
    workers,
)
from cmo_tf.training import data as run_data
from cmo_tf.training.checkpoint import CheckpointStore
from cmo_tf.training.evaluate import accuracy_line
from cmo_tf.training.progress import Progress
from cmo_tf.training.recorder import Recorder


def train(config, run_dir: str) -> dict:
    """Trains (or resumes, or finds finished) the run of a Config in a folder; returns its results.

    Raises:
        UserError: bad input. signals.Stopped: a signal came; the run is saved.
    """
    repeatable.make_repeatable(config)
    distribute.strategy(config)  # workers meet before anything else computes
    with workers.watched(config), folder.writing(run_dir, workers.is_chief(config)) as written:
        run = Run(config, run_dir, written)
        with unreadable.named(run):
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
        self.began = time.monotonic()

    def go(self) -> dict:
        """The whole run."""
        if self.chief:
            self.store.sweep()
        checkpoint = self.store.load()
        self._agree(checkpoint)
        finished = self._finished(checkpoint)
        if finished:
            return finished
        self.data = run_data.load(self.whole)
        workers.agree(self.whole, "split of --data_dir", [f"fingerprint {self.data.fingerprint[:12]}"])
        self.legs = course.legs(self.whole, len(self.data.train))
        number = self._check_resume(checkpoint[1]) if checkpoint else 0
        previous = init.network(self.whole, self.data)
        for leg in self.legs[:number]:  # their weights come with the checkpoint; what counts is their shape
            previous = leg.stage.classifier(build, leg.config, self.data, previous).inner
        self._enter(number, previous)
        if checkpoint:
            self._restore(*checkpoint)
        folder.write_flags(self.run_dir, self.whole)
        self.progress = Progress(os.path.join(self.run_dir, "log.txt"), self.total_steps, self.global_step,
                                 quiet=not self.chief)
        try:
            self._introduce(checkpoint)
            with signals.listening() as request:
                self.stop = workers.stop_request(self.whole, request)
                self._go_through(number)
            if self.stop.number is not None and self.global_step < self.total_steps:
                self.progress.line(f"stopped by a signal at step {self.global_step}; saved")
                raise signals.Stopped(self.stop.number)
            return self._finish() if self.chief else self._follow()
        finally:
            self.progress.close()

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
        self.model = self.leg.stage.classifier(build, self.config, self.data, previous)
        self.evaluator = build.evaluator(self.config, self.data.counts, self.model.network, self.model.loss)

    def _go_through(self, number):
        """Trains from leg `number` on to the last, or to a stop request."""
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
            distribute.settle(self.config, self.model.network)
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

    def _finished(self, checkpoint):
        """Results of a run that has nothing left to do, else None."""
        if checkpoint is None or not os.path.exists(os.path.join(self.read_dir, "results.json")):
            return None
        meta, config = checkpoint[1], self.whole
        whole = meta["whole_steps"] if meta["stages"] > 1 else config.epochs * meta["steps_per_epoch"]
        total = min(whole, config.max_steps or whole)
        written = results.read_results(self.read_dir)
        ended = meta["step"] >= total or early_stop.due(config, meta["history"])
        if not ended or written["steps"] != meta["step"]:
            return None
        folder.check_same_run(self.read_dir, config, len(meta["history"]), meta["steps_per_epoch"])
        print(f"{self.read_dir}: finished already, nothing to do")
        return written

    def _check_resume(self, meta):
        """Number of the leg that a checkpoint is in. UserError where it belongs to another run."""
        folder.check_same_run(self.read_dir, self.whole, len(meta["history"]), meta["steps_per_epoch"])
        per_epoch = self.legs[0].timeline.steps_per_epoch
        if meta["split_fingerprint"] != self.data.fingerprint or meta["steps_per_epoch"] != per_epoch:
            raise UserError(f"--data_dir: the images are not those that {self.read_dir} was trained on (split "
                            f"fingerprint {self.data.fingerprint[:12]}, was {meta['split_fingerprint'][:12]}); "
                            "give it the old data")
        return min(meta["stage"], len(self.legs) - 1)

    def _restore(self, arrays, meta, skipped):
        metrics = {k: v for k, v in arrays.items() if k.startswith("metric")}
        state.restore(self.model, {k: v for k, v in arrays.items() if k not in metrics})
        self.step, self.history, self.best = meta["step"] - self.leg.first_step, meta["history"], meta["best"]
        self.metric_state = metrics if meta["partial"] else None
        self.resumed_from = [*meta["resumed_from_steps"], meta["step"]]
        self.seconds_before, self.found = meta["seconds"], meta.get("found", {})

    def save(self, partial=False) -> None:
        """A checkpoint of this step; an epoch that it cuts is `partial`."""
        meta = {"history": self.history, "best": self.best, "partial": partial, "seconds": self.seconds,
                "found": self.found, "steps_per_epoch": self.legs[0].timeline.steps_per_epoch,
                "whole_steps": course.whole_steps(self.whole, len(self.data.train)),
                "stage": self.legs.index(self.leg), "stages": len(stages_of(METHODS[self.whole.method], self.whole)),
                "split_fingerprint": self.data.fingerprint, "resumed_from_steps": self.resumed_from,
                "flags": self.whole.arguments()}
        arrays = {**state.arrays(self.model), **state.metric_state(self.model)}
        if self.chief:  # the others helped to read what all hold a part of
            self.store.save(self.global_step, arrays, results.plain(meta), best_step=self.best and self.best["step"])

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
        for text in introduce.lines(self, checkpoint):
            self.progress.line(text)
        introduce.write_skipped(self.run_dir, self.data.skipped)
        self.board = tensorboard.Board(os.path.join(self.run_dir, "tensorboard"), self.whole, self.data)
        self.board.restart()
        if self.chief:
            panel.write(self.run_dir, self.whole, self.data, self.board)
        self.write_history()

    def _fit(self):
        """Keras' fit over what is left: the rest of a begun epoch first, then whole ones."""
        stage, config, per_epoch = self.leg.stage, self.config, self.timeline.steps_per_epoch
        callbacks = [Recorder(self), *stage.callbacks(build, config, self.data, self.timeline, self.model)]
        # A stop request, or --max_steps, may come before the first step.
        while self.step < self.timeline.total_steps and self.stop.number is None and not self.ended:
            epoch, done = divmod(self.step, per_epoch)
            stream = stage.stream(build, config, self.data, self.timeline, self.step)
            stream = distribute.per_replica(config, stream)
            self.model.fit(stream, initial_epoch=epoch, epochs=epoch + 1 if done else config.epochs,
                           steps_per_epoch=per_epoch - done, callbacks=callbacks, verbose=0)

    def _finish(self):
        """Predictions, model, results and reports, each written whole or not at all."""
        kept = early_stop.keep(self)
        workers.agree(self.whole, "trained weights", [state.fingerprint(self.model)])
        data, config = self.data, self.whole
        predictions = self.evaluator.predict(data.test, data.size, data.decode)
        results.write_predictions(self.run_dir, predictions)
        classes.save_model(self.run_dir, self.model.network, data.class_names)
        found = results.evaluate(predictions, data.counts, data.class_names, data.groups)
        rate = round(self.training_images / self.training_seconds, 1) if self.training_seconds else None
        found |= {
            "best": self.best and {k: self.best[k] for k in ("accuracy", "epoch", "split")},
            "epochs": self.leg.first_epoch + self.step // self.timeline.steps_per_epoch, "steps": self.global_step,
            "resumed_from_steps": self.resumed_from, "seed": config.seed, "split_fingerprint": data.fingerprint,
            "images_per_second": rate,
            "seconds": round(self.seconds, 3), "flags": vars(config) | {"run_dir": self.run_dir},
            "peak_rss_bytes": memory.peak_rss(),
            "versions": versions.versions(), **kept, "skipped_images": len(self.data.skipped),
        }
        if self.found:
            found["method"] = self.found
        results.write_results(self.run_dir, found)
        self.board.finish(found["accuracy"])
        html, _ = write_report(self.run_dir)
        self.progress.line(accuracy_line(found["accuracy"]))
        self.progress.line(f"report: {html}")
        workers.wait(self.whole)
        return results.read_results(self.run_dir)

    def _follow(self):
        """The end of a worker that is not the chief."""
        workers.agree(self.whole, "trained weights", [state.fingerprint(self.model)])
        workers.wait(self.whole)
        return results.read_results(self.read_dir)
