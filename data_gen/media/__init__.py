"""Videos and pictures: reading, writing and drawing them. Needs pillow, moviepy and imageio-ffmpeg."""
