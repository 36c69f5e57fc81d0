"""Published means and deviations of the input, of pixels in 0..1, that several families share."""
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

HALF: Statistics = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
IMAGENET: Statistics = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINETICS: Statistics = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of torchvision
PYSLOWFAST: Statistics = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
