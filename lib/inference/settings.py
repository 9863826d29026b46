"""Settings of a tracker beside its network: how crops are taken, and how a found box becomes the target's box."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from lib.config.schema import Section
from lib.geometry.crop import CropConfig

Precision = Literal["fp32", "bf16", "fp16"]


class TrackerConfig(Section):
    """From candidate boxes to one box.

    * ``window``: "multiply" weighs the scores with a Hann window before the best is taken (OSTrack, GRM), "blend" takes
      ``1 - penalty`` of the scores and ``penalty`` of a Hann window that is 0 at the border (TransT), "none" does not.
    * ``clip``: how the box is kept at the image. "margin": ``clip_margin`` pixels of it stay inside (OSTrack's
      lineage); "center": its center stays inside, and its sides between ``clip_margin`` and the image's (TransT);
      "inside": the part outside is cut off; the last box stays if nothing is left; the next window is that of a box
      with sides of at least ``clip_margin`` pixels (LoRAT).
    * ``lost_below``: a target with a lower score is lost in that frame; with null none is. Each network has its own
      (docs/confidence.md).
    * ``recover``: a target that stays lost is searched for over the whole image until its score returns
      (``lib.inference.recovery``).
    * ``template_box``: the target's box in the template crop, as the network gets it. "label": centered like the
      labels of training; "truncated": its corner cut to whole crop pixels, as SimTrack's published tracker does.
      An aligned template has a mapping of its own.
    """

    window: Literal["multiply", "blend", "none"] = "multiply"
    penalty: float = Field(default=0.49, ge=0, le=1)
    clip: Literal["margin", "center", "inside"] = "margin"
    clip_margin: int = Field(default=10, ge=1)
    template_box: Literal["label", "truncated"] = "label"
    lost_below: float | None = None
    recover: bool = False

    @model_validator(mode="after")
    def _recovery_has_a_threshold(self) -> Self:
        if self.recover and self.lost_below is None:
            raise ValueError(
                "recover: true, but lost_below is not set, the score below which a target is lost; "
                "tracking/analysis_results.py --confidence measures it, and test.tracker.lost_below holds it"
            )
        return self

    def is_lost(self, score: float) -> bool:
        """Whether a target with this score is lost in this frame."""
        return self.lost_below is not None and score < self.lost_below

    def deciding(self) -> dict[str, Any]:
        """The values that decide a box, as plain types; ``lost_below`` is left out unless ``recover`` uses it."""
        return self.model_dump(mode="json", exclude=None if self.recover else {"lost_below", "recover"})

    def stated(self) -> dict[str, bool]:
        """The settings that every report states, by their keys: the search for lost targets."""
        return {"test.tracker.recover": True} if self.recover else {}


class TrackSettings(Section):
    """The crops of ``template`` and ``search``, and the ``tracker``'s own values; an exported network carries them."""

    template: CropConfig
    search: CropConfig
    tracker: TrackerConfig = TrackerConfig()
