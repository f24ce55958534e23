"""AlexNet in the form of "One weird trick", whose names and parameters are those of torchvision."""

from nn.layers import Conv2d, Dropout, Linear, MaxPool2d, ReLU, Sequential
from nn.models.sizes import after, image


def alexnet(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Sequential:
    """Five convolutions and three linear layers; 61,100,840 parameters for 224×224×3 and 1,000 classes.

    Takes float32 [N, height, width, channels] of at least 63 pixels a side, gives logits [N, classes].
    Source: A.
    Krizhevsky: "One weird trick for parallelizing convolutional neural networks", 2014.
    """
    channels = image("alexnet", input_shape, least=63)
    features = Sequential(
        Conv2d(channels, 64, 11, stride=4, padding=2, init="he"),
        ReLU(),
        MaxPool2d(3, 2, ceil_mode=False),
        Conv2d(64, 192, 5, padding=2, init="he"),
        ReLU(),
        MaxPool2d(3, 2, ceil_mode=False),
        Conv2d(192, 384, 3, padding=1, init="he"),
        ReLU(),
        Conv2d(384, 256, 3, padding=1, init="he"),
        ReLU(),
        Conv2d(256, 256, 3, padding=1, init="he"),
        ReLU(),
        MaxPool2d(3, 2, ceil_mode=False),
    )
    classifier = Sequential(
        Dropout(0.5),
        Linear((*after(features, input_shape), 256), 4096, init="he"),
        ReLU(),
        Dropout(0.5),
        Linear(4096, 4096, init="he"),
        ReLU(),
        Linear(4096, classes),
    )
    return Sequential(features=features, classifier=classifier)
