"""Tiny networks, each with something that makes cutting hard; made in milliseconds, always with the same weights."""

import torch
from torch import nn


def _norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width)
    for tensor in (norm.weight.data, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)
    for tensor in (norm.bias.data, norm.running_mean):
        nn.init.normal_(tensor, std=0.3)
    return norm


class Chain(nn.Module):
    """Convolutions with and without bias, norms, activations written as modules and functions, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), _norm(8), nn.SiLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1, groups=4), _norm(8), nn.Hardswish(), nn.Dropout(0.5), nn.Identity(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(image))


class Dense(nn.Module):
    """Every block reads all blocks before it; norms stand before the convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(_norm(8 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(8 + 4 * i, 4, 3, padding=1, bias=False) for i in range(3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(torch.relu(norm(x)))], dim=1)
        return x.mean(dim=(2, 3))


class Shuffle(nn.Module):
    """Splits the features, mixes them across groups, and gates them; the result is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), _norm(4), nn.ReLU6())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.stem(image)
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, self.branch(right)], dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        mask = self.head(x * self.gate(x))
        return {"out": nn.functional.interpolate(mask, size=image.shape[2:], mode="bilinear"), "aux": mask.mean((2, 3))}


class Attention(nn.Module):
    """Patches, a class token that is expanded to the batch, windows folded into the batch, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16))
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 16))
        self.window = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.patch(image)
        windows = x.view(x.shape[0], 16, 2, 2, 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 16)
        windows = self.window(windows).softmax(dim=1).view(x.shape[0], 16, 16)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2) + windows], dim=1)
        y = self.norm(x + self.position)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.mlp(self.norm(x))
        return self.head(x[:, 0]), windows.mean(dim=1)


class Tied(nn.Module):
    """Two inputs, one of them whole numbers; two layers read one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 16)
        self.mix = nn.Linear(16, 16)
        self.scale = nn.Linear(4, 16)
        self.again = nn.Linear(16, 16)
        self.again.weight = self.mix.weight

    def forward(self, ids: torch.Tensor, extra: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.mix(self.words(ids).mean(dim=1)))
        return self.again(x * torch.sigmoid(self.scale(extra)))


class Shared(nn.Module):
    """An embedding whose matrix, transposed, classifies words too."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(100, 16)
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, 100, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.mix(self.words(ids))))


def _make(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(11)
    return kind()


def chain() -> nn.Module:
    return _make(Chain)


def dense() -> nn.Module:
    return _make(Dense)


def shuffle() -> nn.Module:
    return _make(Shuffle)


def attention() -> nn.Module:
    return _make(Attention)


def tied() -> nn.Module:
    return _make(Tied)


def shared() -> nn.Module:
    return _make(Shared)


class _Nonfinite(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.sum(dim=(1, 2, 3)) / 0.0


class _Zeros(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3)) * 0.0


class _Dependent(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(image > 0).float()


class _Fixed(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.reshape(2, -1).sum(dim=1)


class _Mixed(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image - image.mean(dim=0)


def nonfinite() -> nn.Module:
    return _Nonfinite()


def zeros() -> nn.Module:
    return _Zeros()


def dependent() -> nn.Module:
    return _Dependent()


def fixed() -> nn.Module:
    return _Fixed()


def mixed() -> nn.Module:
    return _Mixed()


def raising() -> nn.Module:
    raise RuntimeError("no such variant")


def not_a_module() -> int:
    return 3


INPUTS = {
    "chain": ("input:FP32:-1x3x16x16",),
    "dense": ("input:FP32:-1x3x8x8",),
    "shuffle": ("input:FP32:-1x3x8x8",),
    "attention": ("input:FP32:-1x3x16x16",),
    "tied": ("ids:INT64:-1x6", "extra:FP32:-1x4"),
    "shared": ("ids:INT64:-1x6",),
}
"""How the inputs of each network are described on the command line."""
