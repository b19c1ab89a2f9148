"""Videos and images: reading and writing."""

from emotalker.video.image import load_image, save_image
from emotalker.video.reader import VideoInfo, read_frames, video_info
from emotalker.video.writer import VideoWriter

__all__ = ["VideoInfo", "VideoWriter", "load_image", "read_frames", "save_image", "video_info"]
