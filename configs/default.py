"""Every field of a run with its unit and its default, in the order of the pipeline."""
from ml_collections import config_dict


def get_config():
  c = config_dict.ConfigDict()
  c.seed = 0  # of splits, order, augmentation, initial values and dropout

  # Data: what to read, how it is split and how a clip is cut out of a video.
  c.data = config_dict.ConfigDict(dict(
      source="",  # "tfds:echo_phantom", "csv:/data/clips.csv", "folder:/data/clips", "dicom:/data/study"
      root="",  # every video must lie below this folder; "" = the folder of the CSV file, or the folder itself
      options=config_dict.ConfigDict({}),  # free keys of the source: which official split, fold or view of a data set
      tfds_dir="",  # where TFDS keeps its data sets; "" = TFDS's own choice (~/tensorflow_datasets)
      classes=(),  # the only labels allowed, in the order of the class numbers; () = those found, sorted
      split=(0.6, 0.15, 0.25),  # shares of train, val, test, by group; an official split of the source wins
      official=True,  # False = splits that the source brings are ignored
      folds=0,  # cross-validation: so many runs, each tested on another part of the groups; 0 = one run. val's share of
      # `split` is cut out of the rest. Each run is FOLDER/fold_1, ...; result.json has their pooled predictions
      shots=0,  # few-shot: training clips of each class, of as many patients as there are; 0 = all. val and test stay
      sampler="shuffle",  # shuffle: every training clip once an epoch | balanced: every class of the first task with
      # classes equally often, each clip of a class once before any comes again (then loss.class_weights="none")
      num_frames=16,  # frames per clip
      sampling="dense",  # dense: by `fps` | duration: by `duration_s` | uniform: one frame of each of num_frames parts
      fps=12.5,  # dense: frames are taken 1 / fps s apart by their time stamps: a clip lasts num_frames / fps s
      duration_s=2.0,  # duration: what a clip lasts, whatever num_frames is
      stride_s=0.0,  # prediction on files: a clip every so many seconds, each with a line; 0 = eval.views, one line
      frame_rate=0.0,  # Hz of folders of frames, NIfTI, and DICOM cines whose header has none; 0 = not known
      window=(),  # (centre, width) of grey values for 16-bit and DICOM grey; () = the header's, else the whole range
      mask=(),  # boxes (x0, y0, x1, y1), shares of the upright frame's width and height, made black before cropping
      crop="centre",  # centre: the middle square | sector: the square around the moving ultrasound image, rest black
      resize=128,  # short side in pixels after decoding; the square of `crop` is kept
      size=112,  # pixels of the square that the model sees, cut out of `resize`
      channels=3,  # 3 = colour (grey is repeated); 1 = the mean of the colours, for a model with one input channel
      single_frame=False,  # one frame (the middle of the clip) repeated num_frames times: a control
      workers=1,  # decoding processes; 0 decodes in the main process
      cache=False,  # where the trunk trains: decoded clips are kept on disk, and later epochs and runs read them there;
      # with augment.time_jitter this needs a number of augment.copies
      cache_dir="",  # of decoded clips; "" = ~/.cache/vft/clips
      cache_max_gb=20.0,  # a larger forecast (clips x num_frames x resize x resize x 3) stops before the first clip
      max_bad_fraction=0.01,  # more undecodable videos than this share stop the run
      on_duplicate="error",  # equal bytes in two splits: error | drop: keep those in test (val before train)
      decode_timeout_s=60.0,  # a file that takes longer is given up; `vft check --full` gives it ten times as long
      max_pixels=64_000_000,  # width x height of a frame; larger ones are not decoded
      follow_links=False,  # symbolic links that lead out of `root`
  ))

  # What is predicted: {} = one task "label" of one label per clip; else name -> dict(kind="single" | "multi" |
  # "ordinal" | "regression", column="" (of the source; "" = the name), classes=() (found), weight=1.0 (of its loss)).
  c.tasks = config_dict.ConfigDict({})

  # What one sample is: a clip by itself, a whole procedure with a label for each moment, or all clips of a patient.
  c.sequence = config_dict.ConfigDict(dict(
      unit="clip",  # clip | video: whole videos, a label per moment, such as surgical phases | patient: one per group
      fps=1.0,  # video: moments a second; each is seen as the clip of data.num_frames that ends there
      boundary_s=10.0,  # video: of the relaxed phase figures
      boundary_rule="neighbours",  # video: which phases a relaxed boundary forgives: neighbours | cholec80 | m2cai16
  ))

  # Augmentation of training clips on the device: one draw per clip, the same for all its frames.
  c.augment = config_dict.ConfigDict(dict(
      enabled=False,
      copies=0,  # augmented views per training clip; 0 = a new one each epoch (cannot be cached)
      repeats=1,  # copies of a clip in one batch (arXiv:1901.09335); an epoch still counts as many samples as clips
      time_jitter=True,  # a random start of the clip (uniform: place in each part) instead of the centre
      crop=True,  # a random square of `data.size` out of `data.resize` instead of the centre
      scale=(),  # shares of the area, such as (0.5, 1.0): the crop is of a random size and scaled; () = it is not
      aspect=(0.75, 1.33),  # least and largest width / height of a scaled crop
      rotate=0.0,  # degrees, at most, either way
      flip=0.5,  # probability of left-right mirroring; 0 where side matters
      flip_pairs=(),  # classes that a mirror swaps: (("left", "right"),)
      brightness=0.2,  # at most this is added or taken away; pixels are 0 to 1
      contrast=0.2,  # factor 1 - this to 1 + this
      saturation=0.0,  # factor 1 - this to 1 + this
      hue=0.0,  # at most this share of the colour circle, either way: to 0.5
      blur=0.5,  # probability of a Gaussian blur
      blur_sigma=1.0,  # pixels, at most
      randaugment=0,  # transforms drawn for each clip (arXiv:1909.13719)
      magnitude=5.0,  # of all of them, 0 to 10
      speckle=0.0,  # ultrasound: largest deviation of multiplicative noise
      gain=0.0,  # ultrasound: factor 1 - this to 1 + this
      tgc=0.0,  # ultrasound: the same, changing with depth (rows)
      smoke=0.0,  # surgery: probability of a veil
      specular=0,  # endoscopy: highlights, at most
      erase=0.0,  # probability that a box is noise (arXiv:1708.04896)
      erase_area=(0.02, 0.33),  # its least and largest share of the frame
      mixup=0.0,  # alpha of Beta(alpha, alpha), such as 0.8 (arXiv:1710.09412); 0 = none
      cutmix=0.0,  # the same, such as 1.0 (arXiv:1905.04899); with both, each clip gets one of them
  ))

  # Model: the trunk, its head and the number type of its arithmetic.
  c.model = config_dict.ConfigDict(dict(
      name="i3d",
      variant="",  # "" = the family's default; "tiny" for tests
      num_classes=0,  # 0 = as many as the source names; any other number must agree with it
      head="linear",  # linear | mlp | attentive | transformer | tcn | original (the published classifier)
      pool="",  # a frame's tokens -> its vector: mean | cls | cls_mean | flatten; "" = as the published classifier
      temporal="mean",  # frames' vectors -> the clip's, for linear and mlp: mean | max | attention | logits
      hidden=(256, 128),  # widths of the mlp head; the first is the width of tcn
      depth=1,  # blocks of the attentive, transformer and tcn heads
      stages=1,  # of the tcn over sequences: each refines the probabilities of the one before (arXiv:2003.10751)
      dropout=0.0,  # before each dense layer of the head
      mean=(), std=(),  # of the input's pixels in 0..1; () = those of the weights, or else of the family
      dtype="float32",  # float32 | bfloat16: arithmetic; parameters stay float32
      drop_path=0.0,  # probability that a trained residual branch is left out of a clip (arXiv:1603.09382; of a frame,
      # where the family sees each by itself): of the last block; it rises evenly from 0 at the first
      remat="none",  # what a block keeps for its backward pass: none: all | dots: results of products, the rest is
      # computed again | blocks: nothing, all of it is: the least memory, about a third more arithmetic
      bn="stored",  # stored | batch: statistics of trained BatchNorm layers; frozen ones always use stored
      options=config_dict.ConfigDict({}),  # free keys of the family
  ))

  # Start: where the first values come from.
  c.init = config_dict.ConfigDict(dict(
      weights="",  # a name of `vft weights list`, file, URL, hf:OWNER/NAME/FILE; "" = random (He), BatchNorm estimated
      keep_init=("head/.*",),  # names that keep their random first value
      layout="",  # family whose layout the file has, where it is not the model's: an image model into a video model
      inflate="centre",  # centre | average: how its 2-D kernels become 3-D
      map_labels=False,  # classes that the weights know by name start at the published classifier's values
      stats_clips=32,  # training clips from which the BatchNorm statistics of a random trunk are estimated
      from_probe="",  # folder of a finished `vft probe`: the head starts from its chosen one (arXiv:2202.10054)
  ))

  # LoRA (arXiv:2106.09685): kernels of the trunk stay frozen, products of two small matrices are added to them and
  # train. They are parameters lora/<kernel>/a and b: give them a group, by a rule such as ("lora/.*", "lora").
  c.lora = config_dict.ConfigDict(dict(
      rank=0,  # columns of a; 0 = none
      alpha=16.0,  # what is added is alpha / rank x a b
      targets=(".*/(q|v)/kernel",),  # names of kernels
  ))

  # What trains, at which rate: the first rule whose pattern matches the whole name wins.
  c.groups = config_dict.ConfigDict({})  # group -> dict(train, lr, wd, schedule); missing keys as in optim.group
  c.rules = ()  # ((pattern, group), ...)

  c.optim = config_dict.ConfigDict(dict(
      name="adamw",  # adamw | adam | sgd
      group=dict(train=True, lr=1e-3, wd=0.0, schedule="cosine"),  # defaults; schedule: constant | linear | cosine
      warmup=0.05,  # how long a rate climbs from 0, in `warmup_unit`s, from the first step that its group trains
      warmup_unit="share",  # share: of the steps that the group trains | steps | epochs
      layer_decay=1.0,  # factor from a block's rate to that of the one before it, such as 0.75; the head has 1
      momentum=0.9,  # of sgd
      b1=0.9, b2=0.999, eps=1e-8,  # of adam and adamw
      clip_norm=1.0,  # largest norm of the gradient of all that trains; 0 = no clipping
  ))

  c.train = config_dict.ConfigDict(dict(
      batch=32,  # clips a step, over all devices
      memory_gb=0.0,  # a step that is forecast to take more stops the run before it begins; 0 = what the device has
      accum=1,  # parts that a batch is computed in, one after another, to save memory
      epochs=10,
      stages=(),  # thawing: ((3, ("late",)), (6, ("trunk",))): after 3 epochs the group late trains as well, then trunk
      ema=0.0,  # decay of a moving average of what trains, such as 0.999, which is validated and used; 0 = none
      label_smoothing=0.0,
      eval_every=1,  # epochs from validation to validation (and checkpoint)
      select="loss",  # what 'best' means: loss, a video-level figure of result.json, or one such as "patient/auroc"
      patience=0,  # validations without a better `select` after which the run ends; 0 = it never ends early
      log_every=10,  # steps between lines of metrics.jsonl
  ))

  # Loss of tasks with one label (name, class_weights, gamma, tau), with many (class_weights) and of numbers.
  c.loss = config_dict.ConfigDict(dict(
      name="cross_entropy",  # cross_entropy | focal | logit_adjusted (arXiv:2007.07314)
      class_weights="none",  # none | inverse | effective (arXiv:1901.05555), from the counts of the training clips
      gamma=2.0,  # of focal (arXiv:1708.02002)
      tau=1.0,  # of logit_adjusted
      regression="l2",  # l1 | l2 | huber, of targets in standard deviations
      delta=1.0,  # of huber
  ))

  # `vft probe`: a grid of heads on kept features; all else is as in a run, but only the head trains.
  c.probe = config_dict.ConfigDict(dict(
      heads=(),  # values of model.head, each with every point of the grid; () = model.head alone
      lr=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),  # learning rates
      wd=(0.0, 1e-4, 1e-3, 1e-2),  # weight decays
      seeds=1,  # of first values, order of the clips and dropout: seed, seed + 1, ...; splits stay those of `seed`
  ))

  # Features of a frozen trunk, computed once and kept on disk.
  c.features = config_dict.ConfigDict(dict(
      cache=True,  # used where only head/ trains
      dir="",  # "" = ~/.cache/vft/features
      cache_max_gb=20.0,  # a larger forecast stops before the first clip
      batch=8,  # clips a pass of the trunk
  ))

  c.eval = config_dict.ConfigDict(dict(
      views=1,  # clips per video, spread over its length; their probabilities are averaged
      crops=1,  # squares of each of them: 1 = the centre | 3 = start, centre and end of the long side
      chunk=0,  # views of a batch per forward pass (views x crops are its views); 0 = all; lower it to save memory
      topk=5,  # k of top-k accuracy; only reported where there are more classes than k
      bootstrap=2000,  # resamples of patients for the 95 % intervals
      calibrate=True,  # a temperature and thresholds from validation: calibration.json, test_calibrated in result.json
      threshold="youden",  # of two classes, or each of many labels: youden | sensitivity (of at least `rate`)
      rate=0.9,  # of sensitivity@rate, specificity@rate and the threshold rule "sensitivity"
  ))
  c.controls = ("majority", "single_frame", "random_trunk")  # trained and selected exactly like the main head

  # Devices: a mesh (data, fsdp); the batch is split over both.
  c.mesh = config_dict.ConfigDict(dict(
      fsdp=1,  # devices that share one copy of parameters and optimiser; it divides the number of devices
      whole=(),  # patterns of parameters that each device has a copy of all the same
  ))

  # report.html: written at the end of a run, and by `vft report WORKDIR`.
  c.report = config_dict.ConfigDict(dict(
      write=True,  # at the end of a run
      limits="Not for clinical decisions.",  # limits of use, as the report and exports state them
      clips=12,  # small moving pictures of errors, at most; they show what is in the videos. 0 = none
  ))

  c.log = config_dict.ConfigDict(dict(tensorboard=True, progress=True))
  return c.lock()
