"""What a finished run says of videos: its own splits as CSV, and any file or folder."""
from vft.predict.asked import Asked
from vft.predict.command import formatted, predict_files
from vft.predict.kept import (
  load_calibration,
  load_identity,
  load_kept,
  load_run,
  load_sets,
  read_predictions,
  write_predictions,
)
from vft.predict.videos import Video, find_videos

__all__ = ["Asked", "Video", "find_videos", "formatted", "load_calibration", "load_identity", "load_kept", "load_run",
           "load_sets", "predict_files", "read_predictions", "write_predictions"]
