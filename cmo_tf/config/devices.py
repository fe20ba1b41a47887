"""Flags: devices, precision and several machines."""

import dataclasses

from cmo_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class DeviceFields:
    """Devices, precision and several machines."""

    strategy: str = flag("none", "distribution: all devices of this machine, or of several",
                         choices=("none", "mirrored", "multiworker"))
    num_devices: int = flag(0, "devices of --strategy=mirrored; 0: all", low=0)
    precision: str = flag("float32", "precision of the network's arithmetic; losses stay in float32",
                          choices=("float32", "bfloat16", "float16"))
    jit_compile: bool = flag(False, "compile the training step with XLA, on one device and with --drop_remainder")
    gradient_accumulation: int = flag(1, "micro-batches that a step works through one after another, for batches "
                                      "larger than the memory; BatchNorm sees a micro-batch", low=1)
    sync_bn: bool = flag(False, "statistics of BatchNorm over all replicas; default of each for itself, as published")
    deterministic: bool = flag(None, "bit-identical repeats; default on for CPU, off for GPU", kind=bool)
    worker_hosts: str = flag(None, "host:port of each worker of --strategy=multiworker, the chief first, with commas; "
                             "default by TF_CONFIG", kind=str, replay=False)
    worker_index: int = flag(None, "place of this worker in --worker_hosts, from 0", kind=int, low=0, replay=False)
    worker_timeout: float = flag(60.0, "seconds after which a silent worker counts as lost; all start within ten times "
                                 "that", low=1, replay=False)
    data_service: str = flag(None, "host:port of processes that make the training batches, with commas; "
                             "tools/data_service.py starts them", kind=str, replay=False)
