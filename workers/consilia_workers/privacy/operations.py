"""Which operations a task's graph may hold: pure functions of tensors, and nothing else.

What is left out on purpose: whatever writes into its input, draws random numbers (dropout apart), reads memory that it
was not given (`empty`, `as_strided`), keeps state (running statistics), turns a tensor into Python's numbers, touches
files or devices, or calls back into Python. What looks something up by an index is in `indices.GUARDS` as well; that
list does have to be complete.
"""

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import torch
from torch.nn import functional

from consilia.errors import TaskError

Function = Callable[..., Any]

_TORCH = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv all amax amin aminmax angle any arange arccos
arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin argsort asin asinh atan atan2 atanh atleast_1d atleast_2d
atleast_3d baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors broadcast_to bucketize cat cdist
ceil celu chunk clamp clamp_max clamp_min clip clone column_stack concat concatenate copysign cos cosh cosine_similarity
count_nonzero cov cross cummax cummin cumprod cumsum deg2rad det diag diag_embed diagonal diff digamma dist div divide
dot dstack einsum eq erf erfc erfinv exp exp2 expm1 eye flatten flip fliplr flipud float_power floor floor_divide fmax
fmin fmod frac full full_like gather ge greater greater_equal gt heaviside hstack hypot index_select inner inverse
isclose isfinite isinf isnan kron kthvalue le lerp less less_equal lgamma linspace log log10 log1p log2 log_softmax
logaddexp logaddexp2 logcumsumexp logdet logical_and logical_not logical_or logical_xor logit logspace logsumexp lt
masked_fill matmul max maximum mean median meshgrid min minimum mm moveaxis movedim mul multiply mv nan_to_num nanmean
nanmedian nansum narrow ne neg negative norm not_equal ones ones_like outer permute pixel_shuffle pixel_unshuffle
polygamma positive pow prod quantile rad2deg ravel reciprocal relu remainder renorm repeat_interleave reshape roll rot90
round rsqrt scatter scatter_add searchsorted select selu sgn sigmoid sign signbit sin sinc sinh slogdet softmax sort
split sqrt square squeeze stack std std_mean sub subtract sum swapaxes swapdims t take_along_dim tan tanh tensor_split
tensordot tile topk trace transpose trapezoid tril triu true_divide trunc unbind unflatten unsqueeze vander
var var_mean vdot vstack where xlogy zeros zeros_like conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d avg_pool1d max_pool1d max_pool2d max_pool3d adaptive_avg_pool1d layer_norm group_norm prelu bilinear
pairwise_distance cosine_embedding_loss hinge_embedding_loss margin_ranking_loss triplet_margin_loss kl_div
poisson_nll_loss hardshrink channel_shuffle rms_norm softmax lerp
"""

_FUNCTIONAL = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
affine_grid avg_pool1d avg_pool2d avg_pool3d bilinear binary_cross_entropy binary_cross_entropy_with_logits celu
channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_embedding_loss
cosine_similarity cross_entropy elu fold gelu glu grid_sample group_norm hardshrink hardsigmoid hardswish
hardtanh hinge_embedding_loss huber_loss interpolate kl_div l1_loss layer_norm leaky_relu linear local_response_norm
log_softmax logsigmoid lp_pool1d lp_pool2d margin_ranking_loss max_pool1d max_pool2d max_pool3d mish mse_loss
multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss normalize one_hot pad pairwise_distance
pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu relu6 rms_norm scaled_dot_product_attention selu sigmoid silu
smooth_l1_loss soft_margin_loss softmax softmin softplus softshrink softsign tanh tanhshrink threshold
triplet_margin_loss unfold upsample
"""

_OPERATOR = """
add sub mul truediv floordiv mod pow matmul neg pos invert abs and_ or_ xor lshift rshift eq ne lt le gt ge getitem
"""

_MATH = "ceil cos exp floor fabs isqrt log log10 log1p log2 pow sin sqrt tan tanh trunc"

_METHODS = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv all amax amin aminmax any argmax argmin argsort asin
asinh atan atan2 atanh baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor bmm bool broadcast_to ceil chunk clamp
clamp_max clamp_min clip clone contiguous copysign cos cosh count_nonzero cov cross cummax cummin cumprod cumsum detach
det diag diag_embed diagonal diff digamma dim dist div divide dot double eq erf erfc erfinv exp exp2 expand expand_as
expm1 flatten flip fliplr flipud float float_power floor floor_divide fmax fmin fmod frac gather ge greater
greater_equal gt half hypot index_add index_copy index_select inner int inverse isclose isfinite isinf isnan
kron kthvalue le lerp less less_equal lgamma log log10 log1p log2 log_softmax logaddexp logcumsumexp logdet logical_and
logical_not logical_or logical_xor logit logsumexp long lt masked_fill matmul max maximum mean median min minimum mm
moveaxis movedim mul multiply mv nan_to_num nanmean nanmedian nansum narrow ndimension ne neg negative nelement new_full
new_ones new_zeros norm not_equal numel outer permute polygamma positive pow prod quantile ravel reciprocal relu
remainder renorm repeat repeat_interleave reshape reshape_as roll rot90 round rsqrt scatter scatter_add select sgn short
sigmoid sign signbit sin sinc sinh size slogdet softmax sort split sqrt square squeeze std sub subtract sum
sum_to_size swapaxes swapdims t take_along_dim tan tanh tensor_split tile to topk trace transpose tril triu
true_divide trunc type_as unbind unflatten unfold unsqueeze var view view_as where xlogy
__and__ __or__ __xor__ __rpow__ __radd__ __rsub__ __rmul__ __rtruediv__ __rdiv__ __rand__ __ror__ __rxor__ __rmatmul__
__rfloordiv__ __rmod__
"""

DROPOUT: Final = frozenset(
    f"torch.nn.functional.{name}"
    for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
)
"""Random, each record with draws of its own, and only while the model is in training mode."""

ATTRIBUTES: Final = frozenset({"shape", "ndim", "dtype", "device", "T", "mT"})
"""What a graph may read of a tensor besides its values."""

_FORBIDDEN_KEYWORDS = frozenset(
    {"out", "generator", "layout", "pin_memory", "requires_grad", "names", "max_norm", "sparse", "scale_grad_by_freq"}
    | {"sorter"}
)
"""Ways to write into an argument, to choose the random numbers, to look at other records, or to leave plain tensors;
and an index that no guard knows of."""


def _listed(prefix: str, module: object, names: str) -> dict[str, Function]:
    """Those of the names that this PyTorch has; the oldest that we run on lacks a few."""
    return {f"{prefix}.{name}": getattr(module, name) for name in names.split() if hasattr(module, name)}


def _read_attribute(tensor: object, name: object) -> object:
    if name not in ATTRIBUTES or not isinstance(tensor, torch.Tensor):
        message = f"the task's graph reads the attribute {str(name)[:50]!r}."
        raise TaskError(message, remedy=f"Use none but {', '.join(sorted(ATTRIBUTES))}.")
    return getattr(tensor, str(name))


FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    _listed("torch", torch, _TORCH)
    | _listed("torch.nn.functional", functional, _FUNCTIONAL)
    | _listed("operator", operator, _OPERATOR)
    | _listed("math", math, _MATH)
    | {name: getattr(functional, name.rpartition(".")[2]) for name in DROPOUT}
    | {"builtins.getattr": _read_attribute}
)
"""Every function that a graph may call, by its qualified name."""

METHODS: Final[Mapping[str, Function]] = MappingProxyType(
    {name: getattr(torch.Tensor, name) for name in _METHODS.split() if hasattr(torch.Tensor, name)}
)
"""Every method of tensors that a graph may call. Called on the class, so that only tensors have them."""

INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "embedding": "Make the table a layer of the model, an nn.Embedding, and call that.",
        "index_fill": "Use torch.where(...) or masked_fill(...), or scatter(...) with a value.",
    }
)
"""The way out where an operation is left off the list because its lanes are not kept apart, by its last name."""

NAMES: Final[Mapping[Function, str]] = MappingProxyType(
    {function: name for name, function in FUNCTIONS.items()} | {getattr: "builtins.getattr"}
)
"""The other way round, for the tracer."""


def settled(name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords with which a function is called, after a check of all that it is given.

    In-place variants of activations are called in their pure form; `_stacklevel` only concerns PyTorch's own warnings.

    Raises:
        TaskError: a keyword is not allowed, or an argument in its place.
    """
    positional = dict(zip(positional_names(function), args, strict=False))
    given = {key for key, value in (positional | kwargs).items() if value is not None and value is not False}
    for keyword in sorted(_FORBIDDEN_KEYWORDS & given | {"inplace"} & positional.keys()):
        raise TaskError(f"the task's graph calls {name} with {keyword}.", remedy=f"Leave {keyword} away.")
    moved = (*args, *kwargs.values()) if name == "to" else (kwargs.get("device"),)
    if any(isinstance(value, str | int) for value in moved):
        raise TaskError("the task's graph moves a tensor to a device.", remedy="Leave devices to Consilia.")
    return {key: value for key, value in kwargs.items() if key not in ("_stacklevel", "inplace")}


def positional_names(function: Function) -> tuple[str, ...]:
    """The names of a function's parameters, in order; none for those that are written in C."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
