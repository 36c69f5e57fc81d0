"""Template of a config, to copy: every field that a researcher changes, at its usual value, with why to change it.

  vft new my_domain --source=csv:/data/clips.csv   # writes a short one after a look at the data; or by hand:
  cp configs/template.py my_domain.py
  vft check my_domain.py && vft inspect --config=my_domain.py && vft train --config=my_domain.py

What is deleted here keeps its default; configs/default.py lists all fields and choices. not run: needs your data.
"""
from configs import default, presets


def get_config():
  c = default.get_config()  # locked: a misspelt field stops here, before anything starts
  c.seed = 0  # another seed: other splits, order and first values; report several where test is small

  # Data: which videos, in which splits.
  c.data.source = "csv:/data/clips.csv"  # columns path, label; if known group (patient), split; or folder:, dicom: ...
  c.data.root = ""  # folder that the paths are relative to, where it is not that of the CSV file
  c.data.classes = ()  # ("normal", "abnormal") fixes their order; of two, the second is the positive one
  c.data.split = (0.6, 0.15, 0.25)  # train, val, test by patient; more test narrows the intervals, more train helps
  c.data.official = True  # False divides anew, although the source brings splits
  c.data.folds = 0  # 5 = cross-validation: with few patients, all of them are tested on, for five times the work
  c.data.shots = 0  # 5 = learn from five clips of each class: how many labels does it take?
  c.data.sampler = "shuffle"  # "balanced" shows each class equally often, where one is rare
  c.data.on_duplicate = "error"  # "drop" leaves out copies of test videos instead of stopping

  # Clip: the part of a video that the model sees. It must last as long as what tells the classes apart.
  c.data.num_frames = 16  # more frames see more, and cost as much more
  c.data.fps = 12.5  # frames a second: 16 / 12.5 = 1.3 s, a heartbeat; less for slow things, more for quick ones
  c.data.sampling = "dense"  # "uniform" spreads the frames over a whole video, where its length does not matter
  c.data.crop = "centre"  # "sector" finds the image of an ultrasound cine and blackens what lies around it
  c.data.mask = ()  # ((0, 0, 1, 0.1),) blackens the upper tenth, such as names that are burned in
  c.data.resize = 128  # short side after decoding, in pixels
  c.data.size = 112  # square that the model sees, cut out of it; 224 for small things: four times the work
  c.data.workers = 1  # decoding processes; more where `data` takes much of the time that the progress line shows
  c.data.cache = False  # True keeps decoded clips on disk, where more than the head trains for many epochs

  # What is predicted. Other kinds of tasks: "multi" (several labels at once) and "ordinal" (grades).
  c.tasks = {}  # {} = one label a clip; else a column each: dict(ef=dict(kind="regression", column="EF"))
  c.sequence.unit = "clip"  # "video": a label for each moment of a procedure | "patient": all clips give one answer

  # Augmentation: what may change without changing the label. ULTRASOUND, ENDOSCOPY or SURGERY, then what differs.
  c.augment.update(presets.ULTRASOUND)
  c.augment.enabled = False  # True where it helps on validation; it helps most where much trains
  c.augment.copies = 4  # views kept of each clip where only the head trains; 0 = new ones each epoch, kept nowhere
  c.augment.flip = 0.0  # 0.5 only where left and right mean the same
  c.augment.mixup = 0.0  # 0.8 blends clips and labels: for many epochs on few clips; cutmix likewise

  # Model: `vft weights list` names what it can start from.
  c.model.name = "i3d"  # efficientnet_lite, vit: each frame by itself, for what a still picture tells | videomae ...
  c.model.variant = ""  # "" = that of the family; "B/16x2", "lite0", "18": as the weights say
  c.model.head = "linear"  # "attentive" and "tcn" see order in time, and want more clips
  c.model.dropout = 0.0  # 0.5 where train is much better than val
  c.model.dtype = "float32"  # "bfloat16" on GPUs and TPUs: half the memory, about twice the speed
  c.model.remat = "none"  # "blocks" where a step does not fit into memory
  c.init.weights = "i3d_k400"  # a name, a file, a URL; "" = random values, which is what the control random_trunk does
  c.init.keep_init = ("head/.*",)  # the published head knows other classes: ours begins anew
  c.init.from_probe = ""  # folder of a finished `vft probe`: begin from its head, which spoils a thawed trunk less
  c.lora.rank = 0  # 8 = small changes to the attention of a transformer, by a group with the rule ("lora/.*", "lora")

  # What trains: the first rule whose pattern matches a parameter's whole name gives its group.
  c.groups = dict(
      trunk=dict(train=False),  # frozen: no gradient, no memory; features are computed once and kept
      # blocks=dict(train=True, lr=1e-4),  # the last blocks, at a tenth of the head's rate or less
      head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))  # `vft probe` tries 20 pairs of rate and decay
  c.rules = (
      ("head/.*", "head"),
      # ("mixed_5[bc]/.*", "blocks"),  # the last two of i3d; `vft sweep --blocks=0,1,2,4,all` finds how many
      (".*", "trunk"))
  c.optim.warmup = 0.05  # share of the steps in which rates climb; longer where the loss jumps at first
  c.optim.layer_decay = 1.0  # 0.75 = a lower rate for each block further from the head, where all of it trains
  c.optim.clip_norm = 1.0  # lower where the loss jumps
  c.train.batch = 32  # clips a step; half of it, half the rate
  c.train.accum = 1  # 4 = the same batch in a quarter of the memory
  c.train.epochs = 30  # more while val still improves; the best is kept, not the last
  c.train.eval_every = 1  # epochs between validations
  c.train.select = "loss"  # what best means on validation: "auroc", "patient/auroc", "balanced_accuracy", "mae" ...
  c.train.patience = 0  # 10 = end after so many validations without a better one
  c.train.label_smoothing = 0.0  # 0.1 where labels are unsure, or probabilities too sure
  c.train.stages = ()  # ((5, ("blocks",)),) = the head alone for five epochs, then the blocks as well
  c.loss.name = "cross_entropy"  # "focal", "logit_adjusted": where a class is rare
  c.loss.class_weights = "none"  # "inverse", "effective": the same by weights; not beside a balanced sampler

  # How it is judged.
  c.eval.views = 1  # 3 = the mean of three clips spread over each video
  c.eval.threshold = "youden"  # "sensitivity" = the threshold that finds eval.rate of the positive ones
  c.eval.rate = 0.9  # of 90 %; also for specificity@0.9 and sensitivity@0.9 in result.json
  c.controls = ("majority", "single_frame", "random_trunk")  # () while you search; all of them for what you publish
  c.report.limits = "Not for clinical decisions."  # for whom and what the model is not, as the report says it
  c.report.clips = 12  # 0 = no pixel of a video in the report
  return c
