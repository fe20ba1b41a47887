"""The Keras callback that turns `fit` into a run: schedule, evaluation, history, checkpoints, stop requests."""

import time

import keras

from cmo_tf.classifier.evaluator import accuracy, accuracy_line
from cmo_tf.distribution import workers
from cmo_tf.methods import METHODS
from cmo_tf.methods.stage import stages_of
from cmo_tf.report import results
from cmo_tf.run import early_stop, rollback, state


class Recorder(keras.callbacks.Callback):
    """Keeps a Progress (what is done) in step with training.

    Args:
        run: the run.run.Run it works for.

    An epoch that began in the middle, after a resume, continues its running means from the checkpoint. Everything it
    writes is a function of the step alone but for times.
    """

    def __init__(self, run):
        super().__init__()
        self.run, self.first_step, self.epoch_began = run, 0, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        run = self.run
        self.first_step, self.epoch_began = run.step, time.monotonic()
        self.model.optimizer.learning_rate = run.timeline.lr(epoch)
        if run.metric_state:
            state.metric_state(self.model, run.metric_state)
            run.metric_state = None

    def on_train_batch_end(self, batch, logs=None):
        run = self.run
        run.step += 1
        rollback.check_loss(logs["loss"])
        run.progress.update(run.global_step)
        run.stop.poll(run.step)
        inside = run.step % run.timeline.steps_per_epoch
        every = run.config.checkpoint_every_steps
        stop = run.stop.number is not None or run.step >= run.timeline.total_steps
        due = bool(every) and run.step % every == 0
        if inside and (stop or due):
            run.save(partial=True, due=due)
        if stop and inside:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        run = self.run
        if run.step % run.timeline.steps_per_epoch:
            return  # stopped inside: the epoch is not done
        seconds = time.monotonic() - self.epoch_began
        number = run.leg.first_epoch + epoch + 1
        row = {"epoch": number, "step": run.global_step, "loss": float(logs["loss"]), "lr": run.timeline.lr(epoch)}
        images = run.images_up_to(run.step) - run.images_up_to(self.first_step)
        run.training_seconds += seconds
        run.training_images += images
        row |= {"images_per_second": round(images / max(seconds, 1e-9), 1), "seconds": round(seconds, 3)}
        if (epoch + 1) % run.config.eval_every == 0 or epoch + 1 == run.config.epochs:
            row |= self._evaluate(number)
        if len(stages_of(METHODS[run.whole.method], run.whole)) > 1:  # also where --max_steps leaves one of them
            row["stage"] = run.leg.stage.name
        run.history.append(row)
        run.progress.line(_describe(row, run.legs[-1].first_epoch + run.legs[-1].timeline.epochs))
        if run.ended:
            run.progress.line(f"no better on validation images for {run.config.early_stop} epochs: stopping after "
                              f"epoch {number}, the best was {run.best['epoch']} (--early_stop)")
        last = run.step >= run.timeline.total_steps or run.stop.number is not None or run.ended
        best = run.config.keep == "best" and run.best and run.best["step"] == run.global_step
        due = best or run.ended or (epoch + 1) % run.config.checkpoint_every == 0 or epoch + 1 == run.config.epochs
        if last or due:
            run.save(due=bool(due))
        run.write_history()
        if last:
            self.model.stop_training = True

    def _evaluate(self, number):
        """The chief's figures of an epoch, on all workers: what follows from them (the best epoch, an early end) must
        be the same on all."""
        run = self.run
        found = [self._figures(number), run.best] if run.chief else None
        row, run.best = workers.of_chief(run.config, results.plain(found))
        return row

    def _figures(self, number):
        run, data = self.run, self.run.data
        values = accuracy(run.evaluator.predict(data.test, data.size, data.decode), data)
        judged = values["all"]
        row = {key: values[key] for key in ("all", "many", "medium", "few")}
        if data.validation is not None:
            predictions = run.evaluator.predict(data.validation, data.size, data.decode)
            row["val_all"] = accuracy(predictions, data)["all"]
            row["val_balanced"] = judged = early_stop.score(predictions, data.num_classes)
        if run.best is None or judged > run.best["judged"] + early_stop.LEAST:
            run.best = {"judged": judged, "accuracy": values, "epoch": number, "step": run.global_step,
                        "split": "test" if data.validation is None else "val"}
        return row


def _describe(row, epochs):
    text = (f"epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}  lr {row['lr']:g}  "
            f"{row['images_per_second']:.0f} images/s")
    if "all" in row:
        text += "  " + accuracy_line({k: row[k] for k in ("all", "many", "medium", "few")})
    return text
