"""Bytes of a video become clips.

input   any seekable binary file holding one container, a SamplingConfig, DecodeLimits
does    parses untrusted bytes in a confined child process; picks frames by presentation time; one pass, scaled once
output  VideoInfo (what the headers say), Clip (uint8 (T, H, W, C) RGB with the times really shown), or a DecodeError
"""
