"""The options that depend on the images of a run: the encoder and the batch size."""

from dataclasses import replace

from .data import Images
from .errors import BadInput
from .objective import encoder_name
from .options import Options


def settle(options: Options, images: Images, *, processes: int = 1, shrink: bool = False) -> Options:
    """Return the options with the name of the encoder in place of ``auto``, and a batch that the images can fill.

    Args:
        options: options as requested.
        images: images to learn from.
        processes: number of processes that share each batch.
        shrink: whether the batch size is a default, which is lowered for few images; False if it was requested.
    """
    count, height, width = images.train.pixels.shape[:3]
    if height != width and not options.crop:
        smaller = min(height, width)
        raise BadInput(f"--size: expected square images; these have {height} x {width} pixels: pass --size {smaller}")
    if options.crop > min(height, width):
        raise BadInput(f"--crop: expected at most the {min(height, width)} pixels of the images; got {options.crop}")
    side = options.crop or height
    if options.pad >= side:
        raise BadInput(f"--pad: expected less than the {side} pixels of the images; got {options.pad}")
    if shrink and options.batch > count >= 4:
        # At least two batches per epoch. The order changes, so each epoch leaves out other images.
        batch = 2 ** ((count // 2).bit_length() - 1) // processes * processes
        options = replace(options, batch=max(batch, 2))
    if count < options.batch:
        raise BadInput(
            f"--batch: expected at most the number of training images ({count} in {options.data}); got {options.batch}"
        )
    if options.batch % processes or options.batch < 2 * processes:
        raise BadInput(
            f"--batch: expected a multiple of the number of processes ({processes}), two images each at least; got "
            f"{options.batch}"
        )
    if options.negatives >= options.batch:
        raise BadInput(
            f"--negatives: expected at most the other images of a batch ({options.batch - 1}); got {options.negatives}"
        )
    return replace(options, encoder=encoder_name(options, side))
