"""The body of `tracking/vot.py`: a tracker as a process that the VOT toolkit starts and controls over TraX, and the
section of ``trackers.ini`` for it.

The package vot-trax (module ``trax``) speaks TraX. The tracker's environment needs it and the rest of this project does
not, so it is imported when a server starts.
"""

import re
import shlex
import sys
from collections import abc
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.config.paths import load_paths
from lib.data.datasets.regions import region_box
from lib.data.decoding.images import read_image
from lib.experiment.config import find_experiment
from lib.inference.tracker import Tracker
from lib.programs.network_choice import choose_form
from lib.runtime.escapes import printable
from lib.runtime.program import RequestError, TextResult

if TYPE_CHECKING:
    from trax import Region


def run_vot(
    program: Path,
    config: str | None = None,
    checkpoint: Path | None = None,
    dataset: str | None = None,
    device: str = "auto",
    overrides: abc.Sequence[str] = (),
    print_ini: bool = False,
    identifier: str | None = None,
) -> TextResult:
    """Serve the tracker of ``choose_form`` with the test-time values of the benchmark ``dataset`` (``vot22``).
    With ``print_ini`` return the section of ``trackers.ini`` that starts ``program``, tracking/vot.py.

    With ``print_ini`` everything is checked that would fail once the toolkit starts the process and hides the message
    in a log. The command names this Python, so that the toolkit can have an environment of its own, and absolute paths,
    since the toolkit starts each process in an empty folder. The section is named ``identifier``, by default as the
    experiment, with _ for other characters than letters, digits, _ and -, since vot-toolkit 0.9.0 skips a section that
    has any (vot/tracker/__init__.py). Raises ``ValueError`` as ``choose_form`` and ``serve_trax`` do.
    """
    if not print_ini and sys.stdin.isatty():
        raise RequestError("the VOT toolkit starts this program and talks to it; add --print-ini for its trackers.ini")
    if find_spec("trax") is None:
        raise ValueError(f"vot-trax is not installed here; {sys.executable} -m pip install vot-trax==4.0.2")
    form = choose_form(load_paths(), config, checkpoint, overrides, device, dataset)
    network, name = form.network(), form.experiment.name
    if not print_ini:
        serve_trax(Tracker(network), name)
        return TextResult()
    words = [sys.executable, str(program.absolute()), "--checkpoint", str(form.checkpoint.absolute())]
    words += ["--config", str(find_experiment(config).absolute())] if config else []
    words += ["--dataset", dataset] if dataset else []
    command = shlex.join([*words, "--device", device, *overrides])
    if printable(command) != command:
        raise ValueError(f"{printable(command)}: has characters that trackers.ini cannot hold; rename its files")
    section = re.sub(r"[^A-Za-z0-9_-]", "_", identifier or name)
    command = command.replace("%", "%%")
    return TextResult(f"[{section}]\nlabel = {name}\nprotocol = trax\ncommand = {command}")


def serve_trax(tracker: Tracker, name: str) -> None:
    """Answer the toolkit over the standard streams until it ends the session; it may start any number of targets.

    A target is given as a rectangle, polygon or mask and answered as a rectangle, with the network's score as
    ``confidence``. An error of the tracker or an unreadable image is reported to the toolkit and raised. Raises
    ``ValueError`` if the toolkit ends without closing the session.
    """
    import trax

    regions = [trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK]
    with trax.Server(regions, [trax.Image.PATH], tracker_name=name) as server:
        while True:
            try:
                request = server.wait()
            except trax.TraxException as error:
                raise ValueError(f"the VOT toolkit ended, or sent something other than TraX ({error})") from error
            if request.type == trax.TraxStatus.QUIT:
                return
            image = read_image(Path(request.image[trax.ImageChannel.COLOR].path()))
            if request.type == trax.TraxStatus.INITIALIZE:
                box, answer = box_of_region(request.objects[0][0]), {}
                tracker.init(image, box)
            else:
                box, score = tracker.update(image)
                answer = {"confidence": score}
            server.status([(trax.Rectangle.create(*box), answer)])


def box_of_region(region: "Region") -> np.ndarray:
    """The box, float64 ``[4]`` xywh in pixels, of TraX's region: that of ``region_box`` for the same region in a file.

    Raises ``ValueError`` for an empty mask and for a special region.
    """
    import trax

    if region.type == trax.Region.RECTANGLE:
        return np.array(region.bounds(), dtype=np.float64)
    if region.type == trax.Region.POLYGON:
        return np.array(region_box(",".join(f"{x},{y}" for x, y in region)))
    if region.type == trax.Region.MASK:
        pixels = np.argwhere(region.array())[:, ::-1] + region.offset()
        if len(pixels) == 0:
            raise ValueError("the toolkit starts the tracker at an empty mask")
        return np.concatenate((pixels.min(axis=0), np.ptp(pixels, axis=0) + 1)).astype(np.float64)
    raise ValueError(f"the toolkit starts the tracker at a region of kind {region.type!r}, which has no box")
