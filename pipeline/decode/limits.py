"""What one video may cost, and what may be parsed at all."""

from dataclasses import dataclass, fields

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds for one probe or one pass over a video; every one is positive.

    Raises:
        ConfigError: a bound is not positive.
    """

    max_pixels: int = 8192 * 4320  # 8K; an 8000x8000 MPEG-4 bomb fits in 688 KB
    max_frames: int = 4_000_000  # 18 hours at 60 fps
    max_duration_s: float = 24 * 3600.0  # measured on decoded frames; also bounds the number of clips
    max_gap_s: float = 600.0  # a longer jump between two frames is a broken timestamp, not a still picture
    max_decoded_bytes: int = 16 << 40  # as RGB: 24 hours of 1080p at 30 fps
    max_streams: int = 256  # broadcast multiplexes carry about 100
    memory_bytes: int = 2 << 30  # on top of the idle decoder process; 8K 10-bit HEVC needs about 1.7 GB of references
    cpu_s: float = 3600.0  # 1080p H.264 decodes at some 200 fps a core: six hours of footage
    wall_s: float = 7200.0  # time spent waiting for the decoder; twice cpu_s, for shared cores
    stall_s: float = 120.0  # without a read or a clip: a hang; 256 KiB of a slow screen recording decode in about 10 s
    start_s: float = 60.0  # until a new decoder process answers; 0.25 s on an idle core

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"{field.name} must be positive", where=field.name, got=value, expected="> 0")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Self-contained files and elementary streams. Absent on purpose: playlists and anything that opens further addresses
# (hls, dash, concat, sdp, rtsp, imf, image2, lavfi, mlv, vobsub, webm_dash_manifest), pictures, subtitles, sound.
FORMATS = _names(
    """
    mov mp4 m4a 3gp 3g2 mj2 matroska webm avi asf asf_o flv live_flv kux mpeg mpegts mpegtsraw mpegvideo m4v ogg rm
    ivf obu av1 h261 h263 h264 hevc vvc evc vc1 vc1test cavsvideo dirac dnxhd mjpeg mjpeg_2000 mpjpeg ingenient ipu
    gif apng mxf gxf dv nut nsv nuv wtv ty pva pmp dhav lmlm4 ivr cine xmv vivo yuv4mpegpipe
    amv bink smk roq flic film_cpk ea idcin wc3movie rpl thp vmd moflex mods
    """
)

# FFmpeg's own decoder names, software only. Absent on purpose: hardware wrappers, text art, stills never put in video.
CODECS = _names(
    """
    h264 hevc vvc libdav1d av1 vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 theora
    mpeg1video mpeg2video mpegvideo mpeg4 msmpeg4 msmpeg4v1 msmpeg4v2 h261 h263 h263i h263p flv
    wmv1 wmv2 wmv3 wmv3image vc1 vc1image mss1 mss2 mts2 msa1 cavs dirac snow apv
    prores prores_raw dnxhd cfhd dvvideo mjpeg mjpegb jpeg2000 jpegls amv sp5x smvjpeg mxpeg ipu
    ffv1 ffvhuff huffyuv hymt utvideo lagarith magicyuv ylc cllc sheervideo aic hq_hqa hqx hap dxv notchlc pixlet
    speedhq media100 qtrle rpza smc svq1 svq3 cinepak 8bps indeo2 indeo3 indeo4 indeo5 msvideo1 msrle cyuv
    rv10 rv20 rv30 rv40 rv60 rawvideo v210 v210x v308 v408 v410 y41p yuv4 r10k r210 012v avrp avui zlib mszh
    camstudio camtasia tscc2 g2m flashsv flashsv2 zmbv vmnc fraps dxtory loco wnv1 aasc ultimotion qpeg mimic
    screenpresso fic fmvc rscc scpr tdsc kgv1 srgc mscc mwsc wcmv lscr rasc agm imm4 imm5 mv30 mvha mvdv vble
    truemotion1 truemotion2 truemotion2rt asv1 asv2 vcr1 xl cljr escape124 escape130 nuv bitpacked
    binkvideo smackvid roqvideo flic idcinvideo interplayvideo thp vmdvideo mobiclip eatgq eatgv eatqi eamad eacmv
    gif apng png targa dpx
    """
)
