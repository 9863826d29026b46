"""What a tracker needs to know beside its network: how crops are taken and how a found box becomes the target's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lib.config.schema import Section
from lib.geometry.crop import CropConfig

Precision = Literal["fp32", "bf16", "fp16"]


class TrackerConfig(Section):
    """How candidate boxes become one box.

    * ``window``: "multiply" weighs the scores with a Hann window before the best is taken (OSTrack, GRM), "blend" takes
      ``1 - penalty`` of the scores and ``penalty`` of a Hann window that is 0 at the border (TransT), "none" does not.
    * ``clip``: what keeps the box at the image. "margin": ``clip_margin`` pixels of it stay inside (OSTrack's
      lineage); "center": its center stays inside, and its sides between ``clip_margin`` and the image's (TransT);
      "inside": what lies outside is cut off, the last box stays if nothing is left, and the next window is that of a
      box whose sides are ``clip_margin`` pixels at least (LoRAT).
    * ``template_box``: the target's box in the template crop, as the network gets it. "label": centered like the
      labels of training; "truncated": its corner cut to whole crop pixels, as SimTrack's published tracker does.
      An aligned template has a mapping of its own.
    """

    window: Literal["multiply", "blend", "none"] = "multiply"
    penalty: float = Field(default=0.49, ge=0, le=1)
    clip: Literal["margin", "center", "inside"] = "margin"
    clip_margin: int = Field(default=10, ge=1)
    template_box: Literal["label", "truncated"] = "label"


class TrackSettings(Section):
    """The crops of ``template`` and ``search``, and the ``tracker``'s own values; an exported network carries them."""

    template: CropConfig
    search: CropConfig
    tracker: TrackerConfig = TrackerConfig()
