"""Flags of devices and precision that do not go together."""


def devices(config) -> list[str]:
    """A line for each contradiction of a Config; none where all is well."""
    several, accumulation = config.strategy == "multiworker", config.gradient_accumulation
    checks = (
        (config.num_devices and config.strategy != "mirrored",
         f"--num_devices={config.num_devices}: is for --strategy=mirrored; leave it out"
         + (" and set CUDA_VISIBLE_DEVICES" if several else "")),
        (not several and config.worker_hosts, f"--worker_hosts={config.worker_hosts}: is for --strategy=multiworker"),
        (config.sync_bn and config.strategy == "none", "--sync_bn: is for several devices, --strategy=mirrored or "
         "multiworker; leave it out"),
        (config.sync_bn and accumulation > 1, f"--gradient_accumulation={accumulation}: cuts the batches that "
         "--sync_bn puts together; leave one of them out"),
        (config.batch_size % accumulation, f"--gradient_accumulation={accumulation}: does not divide --batch_size="
         f"{config.batch_size}"),
        (config.jit_compile and not config.drop_remainder, "--jit_compile: XLA compiles for one size of batch; add "
         "--drop_remainder"),
        (config.jit_compile and config.strategy != "none", f"--jit_compile: does not go with --strategy="
         f"{config.strategy}; leave one of them out"),
    )
    return [line for wrong, line in checks if wrong]
