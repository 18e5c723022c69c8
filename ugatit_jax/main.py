"""Train: `python -m ugatit_jax.main --config=configs/horse2zebra.py`."""

import sys
from collections.abc import Sequence

from ugatit_jax.config.flags import make_parser, parse_flags
from ugatit_jax.console.errors import exit_on_input_error
from ugatit_jax.console.extras import require_training

__all__ = ["DIVERGED", "main", "make_parser"]

DIVERGED = 3  # exit status


@exit_on_input_error
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    That is 130 for a run that was stopped, and 3 for one that diverged, which would do so again;
    2 for a mistake, and 75 for what cannot be read now and may be later, are `InputError`'s.
    """
    command = parse_flags(sys.argv[1:] if argv is None else argv)
    require_training()
    # Not above: JAX, Orbax and Matplotlib take seconds, in which a mistake would wait for its line.
    import jax

    from ugatit_jax.devices import distributed
    from ugatit_jax.devices.runtime import set_up_jax
    from ugatit_jax.evaluation.run_page import leave_run_page
    from ugatit_jax.training.loop import train

    distributed.start(command.cluster)
    set_up_jax()
    try:
        workdir = command.workdir
        reached = train(command.config, workdir, command.changed, command.origin, command.dry)
        if reached < command.config.train.steps:
            return 130
        if not command.dry and jax.process_index() == 0 and (page := leave_run_page(workdir)):
            print(f"what came of it: {page}")
        return 0
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
