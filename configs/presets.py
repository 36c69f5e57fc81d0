"""Augmentation by kind of video: values of config.augment with the reason beside each, as starting points to measure.

  from configs import default, presets
  c.augment.update(presets.ULTRASOUND)          # then what differs: c.augment.update(flip=0.5)

None of them was tuned on a benchmark of ours; the ranges are small because a clip must stay one that could exist.
"""

ULTRASOUND = dict(
    enabled=True,
    time_jitter=True,  # a cine is cut at any phase of the heartbeat or breath
    crop=True, scale=(0.7, 1.0), aspect=(0.9, 1.1),  # depth setting and probe move; much stretching changes anatomy
    rotate=10.0,  # the hand tilts the probe by so much
    flip=0.0,  # the marker fixes the side: left and right ventricle, lung sides, fetal situs
    flip_pairs=(),
    brightness=0.1, contrast=0.2,  # dynamic range and compression differ between consoles
    saturation=0.0, hue=0.0,  # B-mode is grey; in colour Doppler red and blue are the direction of flow
    blur=0.2, blur_sigma=1.0,  # focus and probe frequency differ
    speckle=0.15,  # the texture of coherent waves: it differs between probes, and is no sign of disease
    gain=0.2, tgc=0.2,  # knobs of the console, set anew for each patient
    smoke=0.0, specular=0,  # there is no light
    randaugment=0,  # its solarise and posterise make greys that no scanner gives; its shear changes shapes and volumes
    erase=0.0,  # a hidden box may be the finding: a B-line, a valve
    mixup=0.0, cutmix=0.0)  # two hearts in one frame: switch them on only where measured

ENDOSCOPY = dict(
    enabled=True,
    time_jitter=True,
    crop=True, scale=(0.5, 1.0), aspect=(0.75, 1.33),  # the distance to the wall changes all the time
    rotate=180.0,  # the scope turns about its axis: no direction is up
    flip=0.5,  # the lumen has no side; a polyp in a mirror is a polyp
    flip_pairs=(),
    brightness=0.15, contrast=0.2,  # automatic exposure of the light source
    saturation=0.2, hue=0.02,  # white balance; more would turn normal mucosa into inflamed (red) or bile-stained
    blur=0.3, blur_sigma=1.5,  # fast withdrawal, water on the lens
    speckle=0.0, gain=0.0, tgc=0.0,  # noise and knobs of ultrasound
    smoke=0.0,  # no cautery in most examinations
    specular=8,  # wet mucosa mirrors the lamp
    randaugment=0,  # see saturation and hue
    erase=0.2, erase_area=(0.02, 0.1),  # bubbles and stool hide parts; small, so that a polyp is rarely gone
    mixup=0.0, cutmix=0.0)

SURGERY = dict(
    enabled=True,
    time_jitter=True,
    crop=True, scale=(0.5, 1.0), aspect=(0.75, 1.33),  # the assistant moves the camera and zooms
    rotate=15.0,  # the horizon tilts a little; the table and the team stay where they are
    flip=0.0,  # ports stand on fixed sides, instruments come from them, and phases are told apart by that
    flip_pairs=(),  # tasks with a left and a right hand: flip=0.5 with their pairs
    brightness=0.15, contrast=0.2,  # exposure, distance of the light
    saturation=0.2, hue=0.02,  # white balance of different towers; blood must stay red and bile green
    blur=0.2, blur_sigma=1.5,  # motion, fog on the lens
    speckle=0.0, gain=0.0, tgc=0.0,  # noise and knobs of ultrasound
    smoke=0.25,  # cautery and ultrasonic shears
    specular=6,  # wet tissue and steel mirror the light
    randaugment=0,  # see saturation and hue
    erase=0.2, erase_area=(0.02, 0.2),  # an instrument, gauze or blood hides a part
    mixup=0.0, cutmix=0.0)

PRESETS = {"ultrasound": ULTRASOUND, "endoscopy": ENDOSCOPY, "surgery": SURGERY}
