"""Loading torch modules: from a factory, with weights from a file; nothing is ever unpickled."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.callables import find_callable
from tiersplit_import.options import ImportOptions

_SHOWN_KEYS = 5
_OWN_SIZE = 416


def _find_factory(text: str) -> Callable[..., Any]:
    return find_callable(text, "returns a module", "torchvision.models:resnet50")


def is_untrained(factory: Callable[..., Any]) -> bool:
    """Whether the factory, called without weights, returns random ones."""
    return is_torchvision(factory) or _is_own(factory)


def _is_own(factory: Callable[..., Any]) -> bool:
    return (getattr(factory, "__module__", None) or "").startswith("tiersplit_import.models.")


def is_torchvision(factory: Callable[..., Any]) -> bool:
    """Whether the factory is torchvision's own."""
    return (getattr(factory, "__module__", None) or "").split(".")[0] == "torchvision"


def load_module(text: str, options: ImportOptions) -> nn.Module:
    """The module that the factory returns, in eval mode.

    Raises:
        ModelError: the factory fails or returns something else, its weights would be random without anybody having
            asked for it, or the weights of a file do not fit.
    """
    factory = _find_factory(text)
    if is_untrained(factory) and options.weights is None and not options.random_weights:
        raise ModelError("this factory has no trained weights; give --weights FILE, or --random-weights", text)
    torch.manual_seed(options.seed)
    module = _call(factory, text)
    if not isinstance(module, nn.Module):
        raise ModelError(f"the factory returned a {type(module).__name__}, not a torch.nn.Module", text)
    if options.weights is not None:
        load_weights(module, options.weights)
    elif options.random_weights:
        randomise_zeros(module)
    return module.eval().requires_grad_(False)


def _call(factory: Callable[..., Any], text: str) -> Any:
    # Without this, torchvision's segmentation models fetch a trained backbone over the network.
    offline = {"weights": None, "weights_backbone": None}
    wanted = inspect.signature(factory).parameters if is_torchvision(factory) else {}
    try:
        return factory(**{key: value for key, value in offline.items() if key in wanted})
    except Exception as error:
        raise ModelError(f"the factory raised {type(error).__name__}: {error}", text) from error


def randomise_zeros(module: nn.Module) -> None:
    """Give matrices that start as zeros (such as vit's head) small random numbers: zeros would hide every mistake."""
    for parameter in module.parameters():
        if parameter.ndim >= 2 and not bool(torch.any(parameter)):
            nn.init.normal_(parameter, std=0.02)


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a safetensors file or a `weights_only` state dict into `module`.

    Of parameters that are tied in the module, one name is enough: safetensors writes each of them once.

    Raises:
        ModelError: the file cannot be read, or keys are missing, unexpected or of another shape.
    """
    given = read_state(path)
    wanted = module.state_dict()
    filled = {_place(key, wanted[key]) for key in given if key in wanted}
    missing = [key for key, held in wanted.items() if key not in given and _place(key, held) not in filled]
    lists = {
        "missing": [key for key in missing if not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in given if key not in wanted],
        "of another shape": [k for k, v in given.items() if k in wanted and v.shape != wanted[k].shape],
    }
    wrong = [f"{what}: {_shown(keys)}" for what, keys in lists.items() if keys]
    if wrong:
        raise ModelError("the weights do not fit the module; " + "; ".join(wrong), str(path))
    # The module's own dictionary says which version of its format the names are of; files do not.
    wanted.update(given)
    module.load_state_dict(wanted)


def _place(key: str, held: torch.Tensor) -> tuple[object, ...]:
    """Where a tensor lies; equal for names of one tied parameter."""
    return (held.data_ptr(), held.shape, held.stride()) if held.numel() else (key,)


def _shown(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return ", ".join(keys[:_SHOWN_KEYS]) + more


def read_state(path: Path) -> Mapping[str, torch.Tensor]:
    """Tensors by name from a safetensors file or a state dict; errors as `load_weights`."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415 - the other format does not need it

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"the weights cannot be read (safetensors or a state dict): {error}", str(path)) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ModelError("expected a state dict: tensors by name", str(path))
    return found


def default_inputs(text: str) -> tuple[TensorSpec, ...]:
    """The one image that torchvision's models and the project's own take, at the size they were published with.

    Raises:
        ModelError: the factory is neither's, so nobody but its author knows.
    """
    factory = _find_factory(text)
    if _is_own(factory):
        return (TensorSpec("input", "float32", (1, 3, _OWN_SIZE, _OWN_SIZE)),)
    if not is_torchvision(factory):
        raise ModelError("describe the model's inputs, as in --input input:FP32:-1x3x224x224", text)
    size = 224
    try:
        from torchvision.models import get_model_weights  # noqa: PLC0415 - torchvision loads slowly

        transforms = next(iter(get_model_weights(factory))).transforms()
        sizes = getattr(transforms, "crop_size", None) or transforms.resize_size
        size = int(sizes[0])
    except (ValueError, TypeError, AttributeError, StopIteration):
        pass
    return (TensorSpec("input", "float32", (1, 3, size, size)),)
