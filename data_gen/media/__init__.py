"""Videos and pictures, read, written and drawn on; needs pillow, moviepy and imageio-ffmpeg."""
