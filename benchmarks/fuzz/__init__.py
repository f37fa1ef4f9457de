"""Damaged and hostile videos by the thousand through the decoder's sandbox; each must end in clips or a known class."""
