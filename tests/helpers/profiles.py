"""Colour profiles for pictures."""

from PIL import ImageCms


def swapped_profile():
    """sRGB whose red and blue primaries have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    red = profile.index(b'rXYZ')
    blue = profile.index(b'bXYZ')
    profile[red : red + 4] = b'bXYZ'
    profile[blue : blue + 4] = b'rXYZ'
    return bytes(profile)
